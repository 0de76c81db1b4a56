/* SPDX-License-Identifier: Apache-2.0 */
#include "image/read.h"

#include "entry_text.h"

enum { BLOCK = 512 };

static struct cx_buf tar, text;
static struct cx_err err;
static struct cx_report report;
static int in = -1, out = -1;

static void begin(void)
{
	tar = (struct cx_buf){ .max = 1 << 20 };
	text = (struct cx_buf){ 0 };
	err = (struct cx_err){ 0 };
	out = new_file(NULL, 0);
}

static void end(void)
{
	cx_buf_free(&tar);
	cx_buf_free(&text);
	(void)close(in);
	(void)close(out);
}

/* ---- archives ---- */

static void octal(char *p, unsigned size, uint64_t value)
{
	char digits[32];

	(void)snprintf(digits, sizeof digits, "%0*llo", (int)size - 1, (unsigned long long)value);
	memcpy(p, digits, size);
}

static void add_member(char type, const char *name, const char *link, const char *body,
		       uint64_t uid)
{
	char h[BLOCK] = { 0 };
	size_t len = strlen(body);
	unsigned sum = 0;

	memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
	octal(h + 100, 8, 0644);
	octal(h + 108, 8, uid);
	octal(h + 116, 8, 0);
	octal(h + 124, 12, len);
	octal(h + 136, 12, 0);
	memset(h + 148, ' ', 8);
	h[156] = type;
	memcpy(h + 157, link, strlen(link));
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	octal(h + 148, 7, sum);
	add_text(&tar, h, BLOCK);
	memset(h, 0, BLOCK);
	add_text(&tar, body, len);
	add_text(&tar, h, (BLOCK - len % BLOCK) % BLOCK);
}

static void add_end(void)
{
	static const char zeros[2 * BLOCK];

	add_text(&tar, zeros, sizeof zeros);
}

typedef int read_fn(int in, int out, const struct cx_read_limits *limits, struct cx_report *report);

/* Reads what was made; text is the entries, also those before a failure. */
static int read_with(read_fn *fn, uint64_t max_bytes, uint64_t max_entries)
{
	const struct cx_read_limits limits = { max_bytes, max_entries, false };
	struct cx_buf stream;
	int r;

	in = new_file(tar.p, tar.len);
	r = fn(in, out, &limits, &report);
	ck_assert_int_eq(report.ok, r == 0);
	stream = content_of(out);
	ck_assert_int_eq(text_of_stream(stream.p, stream.len, 100, 1000, &text, &err) == 0, r == 0);
	cx_buf_free(&stream);
	return r;
}

/* ---- image/read.h has this table in words ---- */

static const struct {
	const char *why, *want; /* NULL: refused */
	char type;
	const char *name, *link, *body;
	uint64_t uid;
} rows[] = {
	{ "a file", "f a 3;@0:abc;.", '0', "a", "", "abc", 0 },
	{ "an old file", "f a 0;.", 0, "a", "", "", 0 },
	{ "a directory", "d a;.", '5', "a/", "", "", 0 },
	{ "the root", "d ;.", '5', "./", "", "", 0 },
	{ "a symbolic link", "l a>../../etc;.", '2', "a", "../../etc", "", 0 },
	{ "a symbolic link to nothing", NULL, '2', "a", "", "", 0 },
	{ "a fifo", "p a;.", '6', "a", "", "", 0 },
	{ "a character device", "b a;.", '3', "a", "", "", 0 },
	{ "a block device", "b a;.", '4', "a", "", "", 0 },
	{ "a leading slash", "f etc/a 0;.", '0', "/etc/a", "", "", 0 },
	{ "what means nothing", "f a/b 0;.", '0', "./a//.///b", "", "", 0 },
	{ "upwards", NULL, '0', "../a", "", "", 0 },
	{ "upwards inside", NULL, '0', "a/../b", "", "", 0 },
	{ "upwards at the end", NULL, '5', "a/..", "", "", 0 },
	{ "dots that are a name", "f a/...b 0;.", '0', "a/...b", "", "", 0 },
	{ "a file without a name", NULL, '0', ".", "", "", 0 },
	{ "an old directory", "d a;.", '0', "a/", "", "", 0 },
	{ "a whiteout", "w a/b;.", '0', "a/.wh.b", "", "", 0 },
	{ "a whiteout at the top", "w b;.", '0', ".wh.b", "", "", 0 },
	{ "a whiteout of a hidden name", "w .wh;.", '0', ".wh..wh", "", "", 0 },
	{ "a whiteout of nothing", NULL, '0', "a/.wh.", "", "", 0 },
	{ "a whiteout of nothing at the top", NULL, '0', ".wh.", "", "", 0 },
	{ "a whiteout of dot", NULL, '0', "a/.wh..", "", "", 0 },
	{ "a whiteout of dotdot", NULL, '0', "a/.wh...", "", "", 0 },
	{ "opaque", "o a;.", '0', "a/.wh..wh..opq", "", "", 0 },
	{ "an opaque root", "o ;.", '0', ".wh..wh..opq", "", "", 0 },
	{ "aufs' books", ".", '0', ".wh..wh.plnk", "", "", 0 },
	{ "no whiteout inside a path", "f .wh.a/b 0;.", '0', ".wh.a/b", "", "", 0 },
	{ "a hard link", "h b=a/c;.", '1', "b", "./a//c", "", 0 },
	{ "an absolute hard link", "h b=etc;.", '1', "b", "/etc", "", 0 },
	{ "a hard link upwards", NULL, '1', "b", "../a", "", 0 },
	{ "a hard link to the root", NULL, '1', "b", "/", "", 0 },
	{ "a type that nobody knows", "f a 0;.", 'Z', "a", "", "", 0 }, /* as POSIX says */
	{ "a hard link with data, old", NULL, '1', "b", "a", "x", 0 },
	{ "the highest owner", "f a 0;.", '0', "a", "", "", 65535 },
	{ "an owner too high", NULL, '0', "a", "", "", 65536 },
};

START_TEST(what_becomes_of_it)
{
	int r;

	add_member(rows[_i].type, rows[_i].name, rows[_i].link, rows[_i].body, rows[_i].uid);
	add_end();
	r = read_with(cx_read_layer, 1 << 20, 10);
	ck_assert_msg((r == 0) == (rows[_i].want != NULL), "%s: %s", rows[_i].why, report.err.msg);
	if (r < 0)
		ck_assert_msg(report.err.kind == CX_INVALID &&
				      strstr(report.err.msg, rows[_i].name) != NULL,
			      "%s: %s", rows[_i].why, report.err.msg);
	else
		ck_assert_msg(strcmp(text.p, rows[_i].want) == 0, "%s: %s", rows[_i].why, text.p);
}
END_TEST

/* ---- extended headers ---- */

static void add_record(const char *key_value)
{
	char body[8192];
	size_t total = strlen(key_value) + 3;
	int n;

	do
		n = snprintf(body, sizeof body, "%zu %s\n", ++total, key_value);
	while (n > 0 && (size_t)n != total);
	add_member('x', "x", "", body, 0);
}

static const struct {
	const char *why, *record, *want;
} records[] = {
	{ "a name", "path=x/./y", "f x/y 0;." },
	{ "a name upwards", "path=../y", NULL },
	{ "a user's attribute", "SCHILY.xattr.user.k=v", "f a 0 +k:v;." },
	{ "overlay's own", "SCHILY.xattr.user.overlay.opaque=y", "f a 0;." },
	{ "trusted", "SCHILY.xattr.trusted.overlay.opaque=y", "f a 0;." },
	{ "capabilities", "SCHILY.xattr.security.capability=v", "f a 0;." },
	{ "an attribute without a name", "SCHILY.xattr.user.=v", "f a 0;." },
	{ "a huge owner", "uid=4294967296", NULL },
	{ "a negative owner", "uid=-1", NULL },
	{ "a size behind the end", "size=100", NULL },
	{ "a size that overflows", "size=99999999999999999999", NULL },
	{ "a negative size", "size=-1", NULL },
};

START_TEST(extended_header)
{
	int r;

	add_record(records[_i].record);
	add_member('0', "a", "", "", 0);
	r = read_with(cx_read_layer, 1 << 20, 10);
	ck_assert_msg((r == 0) == (records[_i].want != NULL), "%s: %s", records[_i].why, text.p);
	if (r == 0)
		ck_assert_msg(strcmp(text.p, records[_i].want) == 0, "%s: %s", records[_i].why,
			      text.p);
}
END_TEST

/* Only behind an extended header does libarchive take a link's size for what it says. */
START_TEST(a_hard_link_with_data)
{
	add_member('0', "a", "", "hello", 0);
	add_record("path=b");
	add_member('1', "b", "a", "hello", 0);
	add_end();
	ck_assert_int_lt(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_str_eq(report.err.msg, "entry 'b': a hard link with data");
}
END_TEST

/* Names of 255 and 256 bytes, paths of 4095 and 4096, attributes of 32768 and more. */
static const struct {
	const char *prefix, *piece;
	unsigned count;
	bool fine;
} lengths[] = {
	{ "path=", "n", 255, true },	   { "path=", "n", 256, false },
	{ "path=", "n/", 2047, true },	   { "path=", "n/", 2049, false },
	{ "linkpath=", "n", 3, true },	   { "SCHILY.xattr.user.k=", "v", 6000, true },
	{ "path=b/.wh.", "n", 251, true }, { "path=b/.wh.", "n", 256, false },
};

START_TEST(lengths_at_the_limit)
{
	char record[7000];
	size_t len = strlen(lengths[_i].prefix);

	memcpy(record, lengths[_i].prefix, len);
	for (unsigned i = 0; i < lengths[_i].count; i++, len += strlen(lengths[_i].piece))
		memcpy(record + len, lengths[_i].piece, strlen(lengths[_i].piece));
	record[len] = '\0';
	add_record(record);
	add_member('0', "a", "", "", 0);
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10) == 0, lengths[_i].fine);
}
END_TEST

/* ---- whole archives ---- */

START_TEST(report_of_a_layer)
{
	add_member('5', "d/", "", "", 0);
	add_member('3', "d/device", "", "", 0);
	add_member('0', "d/f", "", "hello", 0);
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_str_eq(text.p, "d d;b d/device;f d/f 5;@0:hello;.");
	ck_assert_uint_eq(report.kind, CX_REPORT_LAYER);
	ck_assert_uint_eq(report.entries, 3);
	ck_assert_uint_eq(report.skipped, 1);
	ck_assert_uint_eq(report.blob_bytes, tar.len);
	ck_assert_uint_eq(report.tar_bytes, tar.len);
	ck_assert_mem_eq(report.blob_id, report.diff_id, 32);
}
END_TEST

START_TEST(padding_counts_for_the_sums)
{
	uint8_t id[32];

	add_member('0', "f", "", "hello", 0);
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	memcpy(id, report.diff_id, 32);
	add_end();
	end();
	tar = text = (struct cx_buf){ .max = 1 << 20 };
	out = new_file(NULL, 0);
	add_member('0', "f", "", "hello", 0);
	add_end();
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_uint_eq(report.tar_bytes, tar.len);
	ck_assert_mem_ne(report.diff_id, id, 32);
}
END_TEST

START_TEST(limits)
{
	add_member('0', "a", "", "", 0);
	add_member('0', "b", "", "", 0);
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, tar.len, 2), 0);
	cx_buf_free(&text);
	ck_assert_int_eq(ftruncate(out, 0), 0);
	ck_assert_int_eq(lseek(out, 0, SEEK_SET), 0);
	(void)close(in);
	ck_assert_int_lt(read_with(cx_read_layer, _i == 0 ? tar.len - 1 : tar.len, _i == 0 ? 2 : 1),
			 0);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

/* Cut inside a header, inside content, and inside padding. */
START_TEST(cut_off)
{
	static const size_t cuts[] = { 1, BLOCK - 1, BLOCK + 1, BLOCK + 4, 2 * BLOCK + 100 };

	add_member('0', "a", "", "hello", 0);
	add_member('0', "b", "", "", 0);
	tar.len = cuts[_i];
	ck_assert_int_lt(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_uint_eq(report.err.kind, CX_INVALID);
}
END_TEST

/* umoci writes the first of these. */
START_TEST(no_padding_at_the_end)
{
	static const size_t ends[] = { BLOCK + 5, BLOCK + 6, 2 * BLOCK - 1, 2 * BLOCK };

	add_member('5', "d", "", "", 0);
	add_member('0', "d/a", "", "hello", 0);
	tar.len = BLOCK + ends[_i];
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_str_eq(text.p, "d d;f d/a 5;@0:hello;.");
	ck_assert_uint_eq(report.entries, 2);
	ck_assert_uint_eq(report.tar_bytes, tar.len);
}
END_TEST

/* What goes on behind the last padding is cut: a header, or the body of more than one block. */
START_TEST(no_padding_and_no_end)
{
	char body[2 * BLOCK + 10] = "";

	memset(body, 'x', sizeof body - 1);
	add_member('0', "a", "", body, 0);
	tar.len = BLOCK + sizeof body - 1 - (size_t)_i;
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10) == 0, _i == 0);
}
END_TEST

/* A tree that has an image's documents, too: the reader of a layer says so. */
START_TEST(documents_in_a_tree)
{
	add_member('0', "./index.json", "", "", 0);
	add_member('0', _i == 0 ? "README" : "oci-layout", "", "", 0);
	add_end();
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_uint_eq(report.kind, _i == 0 ? CX_REPORT_LAYER : CX_REPORT_IMAGE);
}
END_TEST

START_TEST(broken_checksum)
{
	add_member('0', "a", "", "hello", 0);
	tar.p[1] = 'b';
	add_end();
	ck_assert_int_lt(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_uint_eq(report.err.kind, CX_INVALID);
}
END_TEST

/* ---- outer archives ---- */

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct {
	const char *why, *names[3];
	uint32_t kind;
} scans[] = {
	{ "OCI", { "oci-layout", "index.json", "blobs/sha256/" ID }, CX_REPORT_IMAGE },
	{ "OCI with dots", { "./oci-layout", "./index.json" }, CX_REPORT_IMAGE },
	{ "docker", { "manifest.json", ID ".json", ID "/layer.tar" }, CX_REPORT_IMAGE },
	{ "a layout without an index", { "oci-layout" }, CX_REPORT_ROOTFS },
	{ "an index without a layout", { "index.json" }, CX_REPORT_ROOTFS },
	{ "nothing", { NULL }, CX_REPORT_ROOTFS },
	{ "a tree", { "etc/passwd" }, CX_REPORT_ROOTFS },
	{ "both", { "oci-layout", "index.json", "etc/passwd" }, CX_REPORT_ROOTFS },
	{ "a short digest", { "oci-layout", "index.json", "blobs/sha256/00" }, CX_REPORT_IMAGE },
	{ "another digest", { "oci-layout", "index.json", "blobs/sha512/" ID }, CX_REPORT_IMAGE },
	{ "blobs alone", { "blobs/x", "blobs/y/z" }, CX_REPORT_ROOTFS },
	{ "what only looks like blobs",
	  { "oci-layout", "index.json", "blobsx" },
	  CX_REPORT_ROOTFS },
	{ "capitals", { "manifest.json", "A" ID ".json" }, CX_REPORT_ROOTFS },
	{ "what docker does not have", { "manifest.json", ID "/other" }, CX_REPORT_ROOTFS },
};

START_TEST(which_kind)
{
	for (size_t i = 0; i < 3 && scans[_i].names[i] != NULL; i++)
		add_member('0', scans[_i].names[i], "", "", 70000); /* whose it is means nothing */
	add_end();
	ck_assert_msg(read_with(cx_read_scan, 1 << 20, 10) == 0, "%s", scans[_i].why);
	ck_assert_msg(report.kind == scans[_i].kind, "%s", scans[_i].why);
}
END_TEST

/* As a layer no bytes are an empty one; as an upload they are somebody's mistake. */
START_TEST(no_bytes_at_all)
{
	ck_assert_int_eq(read_with(cx_read_layer, 1 << 20, 10), 0);
	ck_assert_str_eq(text.p, ".");
	cx_buf_free(&text);
	ck_assert_int_eq(ftruncate(out, 0), 0);
	ck_assert_int_lt(read_with(cx_read_scan, 1 << 20, 10), 0);
	ck_assert_str_eq(report.err.msg, "the archive is empty");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("read");
	TCase *tc = tcase_create("read");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, what_becomes_of_it, 0, CX_LEN(rows));
	tcase_add_loop_test(tc, extended_header, 0, CX_LEN(records));
	tcase_add_test(tc, a_hard_link_with_data);
	tcase_add_loop_test(tc, lengths_at_the_limit, 0, CX_LEN(lengths));
	tcase_add_test(tc, report_of_a_layer);
	tcase_add_test(tc, padding_counts_for_the_sums);
	tcase_add_loop_test(tc, limits, 0, 2);
	tcase_add_loop_test(tc, cut_off, 0, 5);
	tcase_add_loop_test(tc, no_padding_at_the_end, 0, 4);
	tcase_add_loop_test(tc, no_padding_and_no_end, 0, 3);
	tcase_add_loop_test(tc, documents_in_a_tree, 0, 2);
	tcase_add_test(tc, broken_checksum);
	tcase_add_test(tc, no_bytes_at_all);
	tcase_add_loop_test(tc, which_kind, 0, CX_LEN(scans));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
