/* SPDX-License-Identifier: Apache-2.0 */
#include "entry_text.h"

static struct cx_entry_writer writer;
static struct cx_buf text;
static struct cx_err err;
static char long_text[CX_ENTRY_XATTR_BYTES_MAX + 1];

static void begin(void)
{
	memset(long_text, 'n', sizeof long_text);
	cx_entry_writer_init(&writer, -1);
	err = (struct cx_err){ 0 };
	text = (struct cx_buf){ 0 };
}

static void end(void)
{
	cx_buf_free(&text);
}

static int decode(const void *stream, size_t len, size_t piece)
{
	cx_buf_free(&text);
	return text_of_stream(stream, len, piece, 10, &text, &err);
}

/* ---- a good stream ---- */

static void write_entry(uint32_t mode, uint32_t flags, const char *path, const char *target,
			uint64_t size)
{
	struct cx_entry e = { .mode = mode, .flags = flags, .size = size };

	e.path = bytes_of(path);
	e.target = bytes_of(target);
	if (S_ISDIR(mode) && flags == 0) {
		e.xattrs[0] = (struct cx_entry_xattr){ bytes_of("a"), bytes_of("1") };
		e.xattrs[1] = (struct cx_entry_xattr){ bytes_of("b"), { NULL, 0 } };
		e.nxattrs = 2;
	}
	ck_assert_int_eq(cx_entry_write(&writer, &e, &err), 0);
}

/* The writer flushes at the end only, so its buffer is the stream. */
static size_t write_stream(void)
{
	static const char want_count[] = { 'Z', 4, 0, 0, 0, 8, 0, 0, 0 };

	write_entry(S_IFDIR | 0755, 0, "", "", 0);
	write_entry(S_IFREG | 04755, 0, "f", "", 9);
	ck_assert_int_eq(cx_entry_write_data(&writer, 0, "abc", 3, &err), 0);
	ck_assert_int_eq(cx_entry_write_data(&writer, 7, "de", 2, &err), 0);
	write_entry(S_IFREG, CX_ENTRY_HARDLINK, "d/h", "f", 0);
	write_entry(S_IFLNK | 0777, 0, "l", "/any/../where", 0);
	write_entry(S_IFIFO | 0600, 0, "p", "", 0);
	write_entry(S_IFREG, CX_ENTRY_WHITEOUT, "w", "", 0);
	write_entry(S_IFDIR, CX_ENTRY_OPAQUE, "o", "", 0);
	write_entry(S_IFREG, 0, "empty", "", 0);
	memcpy(writer.buf + writer.len, want_count, sizeof want_count);
	return writer.len + sizeof want_count;
}

#define GOOD                                                                            \
	"d  +a:1 +b:;f f 9;@0:abc;@7:de;h d/h=f;l l>/any/../where;p p;w w;o o;f empty " \
	"0;."

/* _i + 1: the size of the pieces. */
START_TEST(round_trip_in_pieces)
{
	size_t len = write_stream();

	ck_assert_int_eq(decode(writer.buf, len, (size_t)_i + 1), 0);
	ck_assert_str_eq(text.p, GOOD);
}
END_TEST

START_TEST(every_cut_is_noticed)
{
	size_t len = write_stream();

	for (size_t n = 0; n < len; n++)
		ck_assert_int_lt(decode(writer.buf, n, n + 1), 0);
	ck_assert_int_eq(decode(writer.buf, len, len), 0);
}
END_TEST

START_TEST(nothing_comes_behind_the_end)
{
	size_t len = write_stream();

	writer.buf[len] = 'E';
	memset(writer.buf + len + 1, 0, 4);
	ck_assert_int_lt(decode(writer.buf, len + 5, len + 5), 0);
	ck_assert_int_lt(decode(writer.buf, len + 1, 1), 0);
}
END_TEST

START_TEST(large_data_is_cut_and_flushed)
{
	static char data[3 * CX_ENTRY_DATA_MAX];
	int fd = new_file(NULL, 0);
	struct cx_buf stream;

	memset(data, 'x', sizeof data);
	cx_entry_writer_init(&writer, fd);
	write_entry(S_IFREG, 0, "f", "", 2 * sizeof data);
	ck_assert_int_eq(cx_entry_write_data(&writer, 0, data, sizeof data, &err), 0);
	ck_assert_int_eq(cx_entry_write_data(&writer, sizeof data, data, sizeof data, &err), 0);
	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	stream = content_of(fd);
	ck_assert_int_eq(decode(stream.p, stream.len, 1000), 0);
	ck_assert_uint_gt(text.len, 2 * sizeof data);
	cx_buf_free(&stream);
	(void)close(fd);
}
END_TEST

/* ---- single entries: at the limit and over it, for both sides ---- */

/* As the writer would if it checked nothing. */
static size_t encode(const struct cx_entry *e, uint8_t *out)
{
	const struct {
		uint64_t value;
		unsigned bytes;
	} fields[] = {
		{ e->mode, 2 }, { e->flags, 2 },	   { e->uid, 4 },	 { e->gid, 4 },
		{ e->size, 8 }, { (uint64_t)e->mtime, 8 }, { e->mtime_nsec, 4 }, { e->path.len, 2 },
	};
	struct cx_buf buf = { .max = CX_ENTRY_RECORD_MAX + 8 };
	uint32_t len;

	add_text(&buf, "E\0\0\0\0", 5);
	for (size_t i = 0; i < CX_LEN(fields); i++)
		add_text(&buf, &fields[i].value, fields[i].bytes); /* little-endian, as we are */
	add_text(&buf, e->path.p, e->path.len);
	add_text(&buf, &e->target.len, 2);
	add_text(&buf, e->target.p, e->target.len);
	add_text(&buf, &e->nxattrs, 2);
	for (unsigned i = 0; i < e->nxattrs; i++) {
		add_text(&buf, &e->xattrs[i].name.len, 1);
		add_text(&buf, e->xattrs[i].name.p, e->xattrs[i].name.len);
		add_text(&buf, &e->xattrs[i].value.len, 2);
		add_text(&buf, e->xattrs[i].value.p, e->xattrs[i].value.len);
	}
	len = (uint32_t)buf.len - 5;
	memcpy(out, buf.p, buf.len);
	memcpy(out + 1, &len, 4);
	len = (uint32_t)buf.len;
	cx_buf_free(&buf);
	return len;
}

static const struct {
	const char *why;
	uint32_t mode, flags, uid, gid;
	uint64_t size;
	const char *path, *target;
	size_t path_len; /* 0: strlen */
	unsigned nxattrs, name_len, value_len;
	uint32_t nsec;
	bool fine;
} rows[] = {
	{ "the root", S_IFDIR, .path = "", .fine = true },
	{ "a file without a name", S_IFREG, .path = "" },
	{ "absolute", S_IFREG, .path = "/a" },
	{ "trailing slash", S_IFDIR, .path = "a/" },
	{ "double slash", S_IFREG, .path = "a//b" },
	{ "dot", S_IFREG, .path = "." },
	{ "dot inside", S_IFREG, .path = "a/./b" },
	{ "upwards", S_IFREG, .path = ".." },
	{ "upwards inside", S_IFREG, .path = "a/../../b" },
	{ "upwards at the end", S_IFDIR, .path = "a/.." },
	{ "three dots are a name", S_IFREG, .path = ".../..a/a..", .fine = true },
	{ "NUL inside", S_IFREG, .path = "a\0b", .path_len = 3 },
	{ "name of 255", S_IFREG, .path = long_text, .path_len = 255, .fine = true },
	{ "name of 256", S_IFREG, .path = long_text, .path_len = 256 },
	{ "setuid", S_IFREG | 07777, .path = "a", .fine = true },
	{ "character device", S_IFCHR, .path = "a" },
	{ "block device", S_IFBLK, .path = "a" },
	{ "socket", S_IFSOCK, .path = "a" },
	{ "no type", 0644, .path = "a" },
	{ "barred", S_IFREG, CX_ENTRY_BARRED, .path = "a", .fine = true },
	{ "barred directory", S_IFDIR, CX_ENTRY_BARRED, .path = "a" },
	{ "barred with size", S_IFREG, CX_ENTRY_BARRED, .size = 1, .path = "a" },
	{ "unknown flag", S_IFREG, 16, .path = "a" },
	{ "highest owner", S_IFREG, 0, 65535, 65535, .path = "a", .fine = true },
	{ "owner too high", S_IFREG, 0, 65536, 0, .path = "a" },
	{ "group too high", S_IFREG, 0, 0, 65536, .path = "a" },
	{ "overflowing owner", S_IFREG, 0, UINT32_MAX, 0, .path = "a" },
	{ "largest size", S_IFREG, .size = INT64_MAX, .path = "a", .fine = true },
	{ "size too large", S_IFREG, .size = (uint64_t)INT64_MAX + 1, .path = "a" },
	{ "size of a directory", S_IFDIR, .size = 1, .path = "a" },
	{ "size of a link", S_IFLNK, .size = 1, .path = "a", .target = "b" },
	{ "last nanosecond", S_IFREG, .nsec = 999999999, .path = "a", .fine = true },
	{ "too many nanoseconds", S_IFREG, .nsec = 1000000000, .path = "a" },
	{ "link to nothing", S_IFLNK, .path = "a" },
	{ "target without a link", S_IFREG, .path = "a", .target = "b" },
	{ "hard link", S_IFREG, CX_ENTRY_HARDLINK, .path = "a", .target = "b", .fine = true },
	{ "hard link to nothing", S_IFREG, CX_ENTRY_HARDLINK, .path = "a" },
	{ "hard link upwards", S_IFREG, CX_ENTRY_HARDLINK, .path = "a", .target = "../b" },
	{ "absolute hard link", S_IFREG, CX_ENTRY_HARDLINK, .path = "a", .target = "/b" },
	{ "hard link with size", S_IFREG, CX_ENTRY_HARDLINK, .size = 1, .path = "a",
	  .target = "b" },
	{ "hard link, directory", S_IFDIR, CX_ENTRY_HARDLINK, .path = "a", .target = "b" },
	{ "whiteout with size", S_IFREG, CX_ENTRY_WHITEOUT, .size = 1, .path = "a" },
	{ "whiteout of the root", S_IFDIR, CX_ENTRY_WHITEOUT, .path = "" },
	{ "whiteout with target", S_IFREG, CX_ENTRY_WHITEOUT, .path = "a", .target = "b" },
	{ "opaque root", S_IFDIR, CX_ENTRY_OPAQUE, .path = "", .fine = true },
	{ "opaque file", S_IFREG, CX_ENTRY_OPAQUE, .path = "a" },
	{ "64 attributes", S_IFREG, .path = "a", .nxattrs = 64, .name_len = 1, .fine = true },
	{ "65 attributes", S_IFREG, .path = "a", .nxattrs = 65, .name_len = 1 },
	{ "attribute, no name", S_IFREG, .path = "a", .nxattrs = 1, .name_len = 0 },
	{ "name of 250", S_IFREG, .path = "a", .nxattrs = 1, .name_len = 250, .fine = true },
	{ "name of 251", S_IFREG, .path = "a", .nxattrs = 1, .name_len = 251 },
	{ "most bytes", S_IFREG, .path = "a", .nxattrs = 2, .name_len = 1, .value_len = 16383,
	  .fine = true },
	{ "too many bytes", S_IFREG, .path = "a", .nxattrs = 1, .name_len = 1,
	  .value_len = CX_ENTRY_XATTR_BYTES_MAX },
};

static struct cx_entry entry_of(size_t i)
{
	struct cx_entry e = { .mode = rows[i].mode,
			      .flags = rows[i].flags,
			      .uid = rows[i].uid,
			      .gid = rows[i].gid,
			      .size = rows[i].size,
			      .mtime = -1,
			      .mtime_nsec = rows[i].nsec,
			      .nxattrs = rows[i].nxattrs };

	e.path.p = rows[i].path;
	e.path.len = rows[i].path_len > 0 ? rows[i].path_len : strlen(rows[i].path);
	e.target = bytes_of(rows[i].target != NULL ? rows[i].target : "");
	for (unsigned x = 0; x < e.nxattrs && x < CX_ENTRY_XATTRS_MAX; x++)
		e.xattrs[x] = (struct cx_entry_xattr){ { long_text, rows[i].name_len },
						       { long_text, rows[i].value_len } };
	return e;
}

START_TEST(both_sides_judge_alike)
{
	static uint8_t stream[CX_ENTRY_RECORD_MAX + 32];
	static const uint8_t last[] = { 'Z', 4, 0, 0, 0, 1, 0, 0, 0 };
	struct cx_entry e = entry_of((size_t)_i);
	int written = cx_entry_write(&writer, &e, &err), heard;
	size_t len;

	ck_assert_msg((written == 0) == rows[_i].fine, "%s: the writer", rows[_i].why);
	if (!rows[_i].fine)
		ck_assert_uint_eq(writer.len, 0); /* nothing of it was written */
	if (e.nxattrs > CX_ENTRY_XATTRS_MAX)
		return;
	len = encode(&e, stream);
	if (rows[_i].fine)
		ck_assert_mem_eq(stream, writer.buf, len);
	memcpy(stream + len, last, sizeof last);
	heard = decode(stream, len + sizeof last, sizeof stream);
	ck_assert_msg((heard == 0) == rows[_i].fine, "%s: the decoder", rows[_i].why);
	if (!rows[_i].fine)
		ck_assert_str_eq(text.p, "");
}
END_TEST

START_TEST(paths_of_4095_and_4096)
{
	char path[CX_ENTRY_PATH_MAX + 1];

	for (size_t i = 0; i < sizeof path; i++)
		path[i] = i % 2 == 0 ? 'a' : '/';
	ck_assert_int_eq(cx_entry_check_path((struct cx_bytes){ path, 4095 }, false, &err), 0);
	path[4095] = 'a';
	ck_assert_int_lt(cx_entry_check_path((struct cx_bytes){ path, 4096 }, false, &err), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
}
END_TEST

/* ---- records that only a broken or hostile writer sends ---- */

/* clang-format off */
#define FILE_OF_4                                                                               \
	"E" "\x27\0\0\0" "\0\x80" "\0\0" "\0\0\0\0" "\0\0\0\0" "\4\0\0\0\0\0\0\0"       \
	"\0\0\0\0\0\0\0\0" "\0\0\0\0" "\1\0" "f" "\0\0" "\0\0"
/* clang-format on */
#define DATA(len, at) "D" len "\0\0\0" at "\0\0\0\0\0\0\0"
#define ROW(why, want, s)                   \
	{                                   \
		why, want, s, sizeof(s) - 1 \
	}

static const struct {
	const char *why, *want; /* NULL: refused */
	const char *bytes;
	size_t len;
} streams[] = {
	ROW("nothing at all", NULL, ""),
	ROW("no entries", ".", "Z\4\0\0\0\0\0\0\0"),
	ROW("wrong number", NULL, "Z\4\0\0\0\1\0\0\0"),
	ROW("short end", NULL, "Z\3\0\0\0\0\0\0"),
	ROW("long end", NULL, "Z\5\0\0\0\0\0\0\0\0"),
	ROW("unknown record", NULL, "Y\0\0\0\0Z\4\0\0\0\0\0\0\0"),
	ROW("record of 65,537", NULL, "E\1\0\1\0"),
	ROW("record of 4 GiB", NULL, "E\xff\xff\xff\xff"),
	ROW("empty entry", NULL, "E\0\0\0\0"),
	ROW("a file", "f f 4;.", FILE_OF_4 "Z\4\0\0\0\1\0\0\0"),
	ROW("its data", "f f 4;@0:wxyz;.", FILE_OF_4 DATA("\x0c", "\0") "wxyzZ\4\0\0\0\1\0\0\0"),
	ROW("holes", "f f 4;@1:x;@3:z;.",
	    FILE_OF_4 DATA("\x09", "\1") "x" DATA("\x09", "\3") "zZ\4\0\0\0\1\0\0\0"),
	ROW("a byte too far", NULL, FILE_OF_4 DATA("\x0d", "\0") "wxyz!Z\4\0\0\0\1\0\0\0"),
	ROW("behind the end", NULL, FILE_OF_4 DATA("\x09", "\4") "xZ\4\0\0\0\1\0\0\0"),
	ROW("far behind", NULL,
	    FILE_OF_4 "D\x09\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffxZ\4\0\0\0\1\0\0\0"),
	ROW("backwards", NULL,
	    FILE_OF_4 DATA("\x09", "\2") "x" DATA("\x09", "\1") "yZ\4\0\0\0\1\0\0\0"),
	ROW("no bytes", NULL, FILE_OF_4 DATA("\x08", "\0") "Z\4\0\0\0\1\0\0\0"),
	ROW("data first", NULL, DATA("\x09", "\0") "xZ\4\0\0\0\0\0\0\0"),
};

START_TEST(records)
{
	int r = decode(streams[_i].bytes, streams[_i].len, 4096);

	ck_assert_msg((r == 0) == (streams[_i].want != NULL), "%s", streams[_i].why);
	if (r == 0)
		ck_assert_str_eq(text.p, streams[_i].want);
	else
		ck_assert_uint_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(as_many_entries_as_allowed)
{
	size_t len = write_stream();

	ck_assert_int_eq(text_of_stream(writer.buf, len, len, 8, &text, &err), 0);
	cx_buf_free(&text);
	ck_assert_int_lt(text_of_stream(writer.buf, len, len, 7, &text, &err), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("entries");
	TCase *tc = tcase_create("entries");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, round_trip_in_pieces, 0, 12);
	tcase_add_test(tc, every_cut_is_noticed);
	tcase_add_test(tc, nothing_comes_behind_the_end);
	tcase_add_test(tc, large_data_is_cut_and_flushed);
	tcase_add_loop_test(tc, both_sides_judge_alike, 0, CX_LEN(rows));
	tcase_add_test(tc, paths_of_4095_and_4096);
	tcase_add_loop_test(tc, records, 0, CX_LEN(streams));
	tcase_add_test(tc, as_many_entries_as_allowed);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
