/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pack.h"

#include "entry_text.h"

static struct cx_entry_writer writer;
static struct cx_err err;
static struct cx_report report;
static int stream = -1, out = -1;

static void begin(void)
{
	err = (struct cx_err){ 0 };
	stream = new_file(NULL, 0);
	out = new_file(NULL, 0);
	cx_entry_writer_init(&writer, stream);
}

static void end(void)
{
	(void)close(stream);
	(void)close(out);
}

static void add_file(const char *path, const char *data)
{
	struct cx_entry e = { .mode = S_IFREG | 0644,
			      .size = strlen(data),
			      .path = bytes_of(path),
			      .target = { "", 0 } };

	ck_assert_int_eq(cx_entry_write(&writer, &e, &err), 0);
	ck_assert_int_eq(cx_entry_write_data(&writer, 0, data, strlen(data), &err), 0);
}

static int pack(uint64_t max_bytes, uint64_t max_entries)
{
	const struct cx_pack_limits limits = { max_bytes, max_entries };

	ck_assert_int_eq(lseek(stream, 0, SEEK_SET), 0);
	return cx_pack_entries(stream, out, &limits, &report);
}

START_TEST(reports_the_archive)
{
	struct cx_buf made;

	add_file("a", "one");
	add_file("b", "two");
	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	ck_assert_msg(pack(1 << 20, 2) == 0, "%s", report.err.msg);
	made = content_of(out);
	ck_assert(report.ok);
	ck_assert_uint_eq(report.entries, 2);
	ck_assert_uint_eq(report.blob_bytes, made.len);
	ck_assert_uint_eq(report.tar_bytes, made.len);
	ck_assert_uint_eq(made.len, 4 * 512 + 1024);
	ck_assert_mem_eq(report.blob_id, report.diff_id, 32);
	ck_assert_str_eq(made.p, "a");
	ck_assert_str_eq(made.p + 2 * 512, "b");
	ck_assert_str_eq(made.p + 512, "one");
	cx_buf_free(&made);
}
END_TEST

START_TEST(a_stream_without_end)
{
	struct cx_buf all;

	add_file("a", "one");
	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	all = content_of(stream);
	for (size_t cut = 0; cut < all.len; cut++) {
		ck_assert_int_eq(ftruncate(stream, (off_t)cut), 0);
		ck_assert_int_lt(pack(1 << 20, 9), 0);
		ck_assert(!report.ok);
		ck_assert_int_eq(pwrite(stream, all.p, all.len, 0), (ssize_t)all.len);
	}
	ck_assert_int_eq(pwrite(stream, "Z", 1, (off_t)all.len), 1);
	ck_assert_int_lt(pack(1 << 20, 9), 0);
	cx_buf_free(&all);
}
END_TEST

static const struct {
	uint64_t bytes, entries;
	const char *says;
} limits[] = {
	{ 1 << 20, 1, "more than 1 entries" },
	{ 3071, 2, "more than 3071 bytes" },
	{ 1, 2, "more than 1 bytes" },
};

START_TEST(limits_hold)
{
	add_file("a", "one");
	add_file("b", "two");
	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	ck_assert_int_lt(pack(limits[_i].bytes, limits[_i].entries), 0);
	ck_assert_msg(strstr(report.err.msg, limits[_i].says) != NULL, "%s", report.err.msg);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pack");
	TCase *tc = tcase_create("pack");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, reports_the_archive);
	tcase_add_test(tc, a_stream_without_end);
	tcase_add_loop_test(tc, limits_hold, 0, CX_LEN(limits));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
