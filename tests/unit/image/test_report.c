/* SPDX-License-Identifier: Apache-2.0 */
#include "image/report.h"

#include <errno.h>
#include <string.h>

#include "check_main.h"

static uint8_t bytes[CX_REPORT_SIZE + 1];
static struct cx_report in, out;
static struct cx_err err;

static void begin(void)
{
	memset(bytes, 0xaa, sizeof bytes);
	memset(&out, 0x55, sizeof out);
	err = (struct cx_err){ 0 };
	in = (struct cx_report){ .ok = true,
				 .kind = CX_REPORT_IMAGE,
				 .blob_id = { 1, 2 },
				 .diff_id = { 3, 4 },
				 .blob_bytes = UINT64_MAX,
				 .tar_bytes = (uint64_t)1 << 40,
				 .image_bytes = 4096,
				 .entries = UINT32_MAX,
				 .skipped = 6 };
}

START_TEST(round_trip)
{
	cx_report_encode(&in, bytes);
	ck_assert_uint_eq(bytes[CX_REPORT_SIZE], 0xaa);
	ck_assert_int_eq(cx_report_decode(bytes, CX_REPORT_SIZE, &out, &err), 0);
	ck_assert(out.ok);
	ck_assert_uint_eq(out.kind, in.kind);
	ck_assert_mem_eq(out.blob_id, in.blob_id, 32);
	ck_assert_mem_eq(out.diff_id, in.diff_id, 32);
	ck_assert_uint_eq(out.blob_bytes, in.blob_bytes);
	ck_assert_uint_eq(out.tar_bytes, in.tar_bytes);
	ck_assert_uint_eq(out.image_bytes, in.image_bytes);
	ck_assert_uint_eq(out.entries, in.entries);
	ck_assert_uint_eq(out.skipped, in.skipped);
}
END_TEST

START_TEST(failures_arrive)
{
	in.ok = false;
	(void)cx_fail(&in.err, ENOSPC, "write the layer");
	cx_report_encode(&in, bytes);
	ck_assert_int_eq(cx_report_decode(bytes, CX_REPORT_SIZE, &out, &err), 0);
	ck_assert(!out.ok && !out.err.refused);
	ck_assert_int_eq(out.err.errnum, ENOSPC);
	ck_assert_str_eq(out.err.msg, "write the layer");

	(void)cx_refuse(&in.err, CX_LIMIT, "%0503d", 7); /* as long as a text can be */
	cx_report_encode(&in, bytes);
	ck_assert_int_eq(cx_report_decode(bytes, CX_REPORT_SIZE, &out, &err), 0);
	ck_assert(!out.ok && out.err.refused);
	ck_assert_uint_eq(out.err.kind, CX_LIMIT);
	ck_assert_str_eq(out.err.msg, in.err.msg);
}
END_TEST

/* A worker that ran a hostile archive's code says it failed, but of nothing. */
START_TEST(a_failure_is_never_none)
{
	in.ok = false;
	in.err = (struct cx_err){ 0 };
	cx_report_encode(&in, bytes);
	ck_assert_int_eq(cx_report_decode(bytes, CX_REPORT_SIZE, &out, &err), 0);
	ck_assert_int_ne(out.err.errnum, 0);
}
END_TEST

static const struct {
	const char *why;
	size_t at;
	uint8_t byte;
} bad[] = {
	{ "magic", 0, 'C' },
	{ "ok is 2", 8, 2 },
	{ "ok is 256", 9, 1 },
	{ "unknown kind", 12, CX_REPORT_KIND_MAX },
	{ "kind of 2^24", 15, 1 },
	{ "unknown kind of error", 116, CX_KIND_MAX },
	{ "text of 504 bytes and more", 121, 0x7f },
	{ "text of 4 GiB", 123, 0xff },
};

START_TEST(malformed)
{
	cx_report_encode(&in, bytes);
	bytes[bad[_i].at] = bad[_i].byte;
	ck_assert_msg(cx_report_decode(bytes, CX_REPORT_SIZE, &out, &err) < 0, "%s", bad[_i].why);
	ck_assert_uint_eq(err.kind, CX_INTERNAL);
	ck_assert_uint_eq(out.kind, 0x55555555); /* untouched */
}
END_TEST

START_TEST(of_another_size)
{
	static const size_t sizes[] = { 0, 1, CX_REPORT_SIZE - 1, CX_REPORT_SIZE + 1 };

	cx_report_encode(&in, bytes);
	ck_assert_int_lt(cx_report_decode(bytes, sizes[_i], &out, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("report");
	TCase *tc = tcase_create("report");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, failures_arrive);
	tcase_add_test(tc, a_failure_is_never_none);
	tcase_add_loop_test(tc, malformed, 0, CX_LEN(bad));
	tcase_add_loop_test(tc, of_another_size, 0, 4);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
