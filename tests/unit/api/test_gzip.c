/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <zlib.h>

#include "check_main.h"

#include "api/gzip.h"
#include "base/cleanup.h"

static const struct {
	const char *header;
	bool accepted;
} headers[] = {
	{ NULL, false },
	{ "", false },
	{ "gzip", true },
	{ "GZIP", true },
	{ "deflate, gzip", true },
	{ "gzip;q=0.5, *;q=0", true },
	{ "gzip;q=0", false },
	{ "gzip; q=0.000, *", false },
	{ "*", true },
	{ "*;q=0", false },
	{ "identity", false },
	{ "x-gzipped", false },
	{ "gzip;level=9", false },
	{ ",,, ,", false },
	{ "br;q=1.0,gzip;q=1", true },
	{ "gzip;q=nan?", false },
};

START_TEST(headers_are_read)
{
	ck_assert_int_eq(cx_gzip_is_accepted(headers[_i].header), headers[_i].accepted);
}
END_TEST

static void fill(struct cx_buf *buf, size_t len)
{
	struct cx_err err;

	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(cx_buf_add(buf, i % 7 == 0 ? "{" : "a", 1, &err), 0);
}

START_TEST(what_was_packed_comes_out_again)
{
	CX_AUTO(cx_buf_free) struct cx_buf buf = { .max = 1 << 20 }, plain = { .max = 1 << 20 };
	unsigned char out[60000];
	z_stream z = { 0 };

	fill(&buf, 50000);
	fill(&plain, 50000);
	ck_assert(cx_gzip_pack(&buf));
	ck_assert_uint_lt(buf.len, 5000);
	ck_assert_uint_eq(buf.max, 1 << 20);
	z.next_in = (unsigned char *)buf.p;
	z.avail_in = (unsigned)buf.len;
	z.next_out = out;
	z.avail_out = sizeof out;
	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(z.total_out, plain.len);
	ck_assert_mem_eq(out, plain.p, plain.len);
	(void)inflateEnd(&z);
}
END_TEST

START_TEST(what_gains_nothing_stays)
{
	CX_AUTO(cx_buf_free) struct cx_buf buf = { .max = 1 << 20 };
	uint32_t noise = 1;
	struct cx_err err;

	fill(&buf, CX_GZIP_MIN - 1);
	ck_assert(!cx_gzip_pack(&buf));
	buf.len = 0;
	for (int i = 0; i < 8192; i++) {
		noise = noise * 1664525 + 1013904223;
		ck_assert_int_eq(cx_buf_add(&buf, (char *)&noise + 3, 1, &err), 0);
	}
	ck_assert(!cx_gzip_pack(&buf));
	ck_assert_uint_eq(buf.len, 8192);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/gzip");
	TCase *tc = tcase_create("gzip");

	tcase_add_loop_test(tc, headers_are_read, 0, CX_LEN(headers));
	tcase_add_test(tc, what_was_packed_comes_out_again);
	tcase_add_test(tc, what_gains_nothing_stays);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
