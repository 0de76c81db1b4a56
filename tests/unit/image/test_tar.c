/* SPDX-License-Identifier: Apache-2.0 */
/* What image/tar.c writes, image/read.c reads back as the same entries. */
#include "image/tar.h"

#include <openssl/sha.h>

#include "entry_text.h"
#include "image/read.h"

static struct cx_tar *tar;
static struct cx_err err;
static struct cx_entry_writer writer;
static int stream = -1, archive = -1;
static uint8_t sum[32];
static uint64_t bytes;

static const uint64_t room = 1 << 24;

static void begin(void)
{
	err = (struct cx_err){ 0 };
	stream = new_file(NULL, 0);
	archive = new_file(NULL, 0);
	cx_entry_writer_init(&writer, stream);
	ck_assert_int_eq(cx_tar_new(archive, room, &tar, &err), 0);
}

static void end(void)
{
	cx_tar_free(tar);
	tar = NULL;
	(void)close(stream);
	(void)close(archive);
}

static struct cx_entry node(uint32_t mode, const char *path)
{
	return (struct cx_entry){ .mode = mode, .path = bytes_of(path), .target = { "", 0 } };
}

/* To the archive and, as what is to be read from it, to the stream. */
static void add(const struct cx_entry *e, const char *data)
{
	size_t len = strlen(data);

	ck_assert_msg(cx_tar_entry(tar, e, &err) == 0, "%s", err.msg);
	ck_assert_msg(cx_entry_write(&writer, e, &err) == 0, "%s", err.msg);
	if (len == 0)
		return;
	ck_assert_int_eq(cx_tar_data(tar, 0, data, len, &err), 0);
	ck_assert_int_eq(cx_entry_write_data(&writer, 0, data, len, &err), 0);
}

static struct cx_buf read_back(void)
{
	const struct cx_read_limits limits = { room, 1000, false };
	struct cx_report report;
	struct cx_buf got;
	int out = new_file(NULL, 0);

	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	ck_assert_msg(cx_read_layer(archive, out, &limits, &report) == 0, "%s", report.err.msg);
	ck_assert_mem_eq(report.diff_id, sum, sizeof sum);
	ck_assert_uint_eq(report.tar_bytes, bytes);
	got = content_of(out);
	(void)close(out);
	return got;
}

static void expect_the_same(void)
{
	struct cx_buf want, got;
	uint8_t really[32];

	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	ck_assert_msg(cx_tar_finish(tar, sum, &bytes, &err) == 0, "%s", err.msg);
	want = content_of(archive);
	ck_assert_uint_eq(want.len, bytes);
	(void)SHA256((const uint8_t *)want.p, want.len, really);
	ck_assert_mem_eq(sum, really, sizeof sum);
	cx_buf_free(&want);
	want = content_of(stream);
	got = read_back();
	ck_assert_uint_eq(got.len, want.len);
	ck_assert_mem_eq(got.p, want.p, got.len);
	cx_buf_free(&want);
	cx_buf_free(&got);
}

START_TEST(every_kind)
{
	struct cx_entry root = node(S_IFDIR | 0755, ""), dir = node(S_IFDIR | 01777, "d"),
			file = node(S_IFREG | 04755, "d/f"), link = node(S_IFLNK | 0777, "d/l"),
			fifo = node(S_IFIFO | 0600, "d/p"), hard = node(S_IFREG, "d/z");

	dir.uid = 65535;
	dir.gid = 1000;
	file.size = 5;
	file.mtime = 1700000000;
	file.mtime_nsec = 123456789;
	link.target = bytes_of("../anywhere");
	hard.flags = CX_ENTRY_HARDLINK;
	hard.target = bytes_of("d/f");
	add(&root, "");
	add(&dir, "");
	add(&file, "hello");
	add(&link, "");
	add(&fifo, "");
	add(&hard, "");
	expect_the_same();
}
END_TEST

START_TEST(whiteouts)
{
	struct cx_entry gone = node(S_IFREG, "a/b"), top = node(S_IFREG, "c"),
			opaque = node(S_IFDIR, "d/e"), all = node(S_IFDIR, "");

	gone.flags = top.flags = CX_ENTRY_WHITEOUT;
	opaque.flags = all.flags = CX_ENTRY_OPAQUE;
	add(&all, "");
	add(&gone, "");
	add(&top, "");
	add(&opaque, "");
	expect_the_same();
}
END_TEST

static const struct {
	int64_t s;
	uint32_t ns, read_ns;
} times[] = {
	{ 0, 0, 0 },
	{ 0, 1, 1 },
	{ 1, 999999999, 999999999 },
	{ -1, 0, 0 },
	{ -1000000000, 0, 0 },
	{ -5, 500000000, 0 },
	{ 2147483647, 0, 0 },
	{ 4294967296, 100, 100 },
	{ 253402300799, 0, 0 },
};

START_TEST(times_are_kept)
{
	struct cx_entry e = node(S_IFREG | 0644, "f");

	e.mtime = times[_i].s;
	e.mtime_nsec = times[_i].ns;
	ck_assert_int_eq(cx_tar_entry(tar, &e, &err), 0);
	e.mtime_nsec = times[_i].read_ns;
	ck_assert_int_eq(cx_entry_write(&writer, &e, &err), 0);
	expect_the_same();
}
END_TEST

static const char *const odd_names[] = {
	"\xff\xfe",
	"caf\xe9",
	"gr\xc3\xb6\xc3\x9f\x65",

	"e\xcc\x81 is no \xc3\xa9",
	" lead",
	"-rf",
	"new\nline",
	"back\\slash",
	"*",
	"trailing ",
};

static void add_named(char *name, const char *target)
{
	struct cx_entry file = node(S_IFREG | 0644, name), link = node(S_IFLNK | 0777, "l"),
			hard = node(S_IFREG, "h");

	link.target = bytes_of(target);
	hard.target = bytes_of(name);
	hard.flags = CX_ENTRY_HARDLINK;
	add(&file, "");
	add(&link, "");
	add(&hard, "");
	expect_the_same();
}

START_TEST(names_of_any_bytes)
{
	char name[32];

	(void)snprintf(name, sizeof name, "%s", odd_names[_i]);
	add_named(name, name);
}
END_TEST

static const struct {
	size_t len, component;
	char byte;
} lengths[] = {
	{ 99, 99, 'a' },      { 100, 100, 'a' },  { 101, 101, 'a' },
	{ 255, 255, 'a' },    { 256, 127, 'a' },  { 257, 155, 'a' },
	{ 1000, 99, '\xff' }, { 4095, 254, 'a' }, { 4095, 3, '\xc3' },
};

START_TEST(names_of_any_length)
{
	char name[CX_ENTRY_PATH_MAX + 1];

	for (size_t i = 0; i < lengths[_i].len; i++)
		name[i] = i % (lengths[_i].component + 1) == lengths[_i].component
				  ? '/'
				  : lengths[_i].byte;
	name[lengths[_i].len] = '\0';
	if (name[lengths[_i].len - 1] == '/')
		name[lengths[_i].len - 1] = '\0';
	add_named(name, name);
}
END_TEST

/* In the archive they are in their order; libarchive's reader turns that round. */
START_TEST(attributes)
{
	static char big[20000];
	struct cx_entry file = node(S_IFREG | 0644, "f"), turned = file;

	memset(big, '\n', sizeof big);
	file.nxattrs = turned.nxattrs = 3;
	file.xattrs[0] = (struct cx_entry_xattr){ bytes_of("a.b"), { "\0=\xff\n", 4 } };
	file.xattrs[1] = (struct cx_entry_xattr){ bytes_of("big"), { big, sizeof big } };
	file.xattrs[2] = (struct cx_entry_xattr){ bytes_of("empty"), { "", 0 } };
	for (unsigned i = 0; i < 3; i++)
		turned.xattrs[i] = file.xattrs[2 - i];
	ck_assert_int_eq(cx_tar_entry(tar, &file, &err), 0);
	ck_assert_int_eq(cx_entry_write(&writer, &turned, &err), 0);
	file.mode = turned.mode = S_IFDIR | 0755;
	file.path = turned.path = bytes_of("g");
	ck_assert_int_eq(cx_tar_entry(tar, &file, &err), 0);
	ck_assert_int_eq(cx_entry_write(&writer, &turned, &err), 0);
	expect_the_same();
}
END_TEST

/* Wherever the holes of a file are, its archive is the same. */
START_TEST(holes_are_zeros)
{
	struct cx_entry e = node(S_IFREG | 0644, "f");
	static const char zeros[5000];
	uint8_t other[32];
	struct cx_tar *again;
	uint64_t size;

	e.size = 300000;
	ck_assert_int_eq(cx_tar_entry(tar, &e, &err), 0);
	ck_assert_int_eq(cx_tar_data(tar, 200000, "x", 1, &err), 0);
	ck_assert_int_eq(cx_tar_finish(tar, sum, &bytes, &err), 0);
	ck_assert_int_eq(cx_tar_new(archive, room, &again, &err), 0);
	ck_assert_int_eq(cx_tar_entry(again, &e, &err), 0);
	ck_assert_int_eq(cx_tar_data(again, 5000, zeros, sizeof zeros, &err), 0);
	ck_assert_int_eq(cx_tar_data(again, 200000, "x", 1, &err), 0);
	ck_assert_int_eq(cx_tar_data(again, 299999, zeros, 1, &err), 0);
	ck_assert_int_eq(cx_tar_finish(again, other, &size, &err), 0);
	cx_tar_free(again);
	ck_assert_uint_eq(size, bytes);
	ck_assert_uint_eq(size, 512 + (300000 + 511) / 512 * 512 + 1024);
	ck_assert_mem_eq(other, sum, sizeof sum);
}
END_TEST

START_TEST(large_file)
{
	struct cx_entry e = node(S_IFREG | 0644, "f");

	e.size = (uint64_t)1 << 36;
	ck_assert_int_eq(cx_tar_entry(tar, &e, &err), 0);
	ck_assert_int_lt(cx_tar_data(tar, e.size - 1, "x", 1, &err), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
}
END_TEST

static const struct {
	const char *path, *attribute, *says;
} refused[] = {
	{ ".wh.x", NULL, "begins with '.wh.'" },
	{ "a/.wh.", NULL, "begins with '.wh.'" },
	{ "a/.wh.b/c", NULL, "begins with '.wh.'" },
	{ "a/.wh..wh..opq", NULL, "begins with '.wh.'" },
	{ "f", "a=b", "extended attribute" },
	{ "f", "a b", "extended attribute" },
	{ "f", "a%", "extended attribute" },
	{ "f", "\xc3\xa4", "extended attribute" },
};

START_TEST(what_tar_cannot_say)
{
	struct cx_entry e = node(S_IFREG | 0644, refused[_i].path);

	if (refused[_i].attribute != NULL) {
		e.nxattrs = 1;
		e.xattrs[0] =
			(struct cx_entry_xattr){ bytes_of(refused[_i].attribute), bytes_of("v") };
	}
	ck_assert_int_lt(cx_tar_entry(tar, &e, &err), 0);
	ck_assert_msg(strstr(err.msg, refused[_i].says) != NULL, "%s", err.msg);
	ck_assert_msg(strstr(err.msg, refused[_i].path) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(nobody_reads)
{
	struct cx_entry e = node(S_IFREG | 0644, "f");
	struct cx_tar *closed;

	ck_assert_int_eq(cx_tar_new(-EBADF, room, &closed, &err), 0);
	ck_assert_int_eq(cx_tar_entry(closed, &e, &err), 0);
	ck_assert_int_lt(cx_tar_finish(closed, sum, &bytes, &err), 0);
	ck_assert_int_eq(err.errnum, EBADF);
	cx_tar_free(closed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tar");
	TCase *tc = tcase_create("tar");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, every_kind);
	tcase_add_test(tc, whiteouts);
	tcase_add_loop_test(tc, times_are_kept, 0, CX_LEN(times));
	tcase_add_loop_test(tc, names_of_any_bytes, 0, CX_LEN(odd_names));
	tcase_add_loop_test(tc, names_of_any_length, 0, CX_LEN(lengths));
	tcase_add_test(tc, attributes);
	tcase_add_test(tc, holes_are_zeros);
	tcase_add_test(tc, large_file);
	tcase_add_loop_test(tc, what_tar_cannot_say, 0, CX_LEN(refused));
	tcase_add_test(tc, nobody_reads);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
