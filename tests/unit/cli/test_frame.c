/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/frame.h"

#include <string.h>

#include "check_main.h"

static struct cx_buf out;
static struct cx_err err;

static void begin(void)
{
	out = (struct cx_buf){ .max = 4 * CX_FRAME_DATA_MAX };
	err = (struct cx_err){ 0 };
}

static void end(void)
{
	cx_buf_free(&out);
}

START_TEST(bytes_on_the_wire)
{
	static const char want[] = "\x01\x03\x00\x00\x00"
				   "abc"
				   "\x10\x01\x00\x00\x00\x02"
				   "\x11\x04\x00\x00\x00\x18\x00\x2c\x01"
				   "\x00\x00\x00\x00\x00";

	ck_assert_int_eq(cx_frame_put(&out, CX_CHANNEL_STDOUT, "abc", 3, &err), 0);
	ck_assert_int_eq(cx_frame_put_signal(&out, 2, &err), 0);
	ck_assert_int_eq(cx_frame_put_window(&out, 24, 300, &err), 0);
	ck_assert_int_eq(cx_frame_put(&out, CX_CHANNEL_STDIN, NULL, 0, &err), 0);
	ck_assert_mem_eq(out.p, want, sizeof want - 1);
	ck_assert_uint_eq(out.len, sizeof want - 1);
}
END_TEST

START_TEST(round_trip)
{
	static const uint32_t sizes[] = { 0, 1, 255, 256, 65535, CX_FRAME_DATA_MAX };
	static uint8_t data[CX_FRAME_DATA_MAX];
	struct cx_frame f;

	memset(data, 0x5a, sizeof data);
	ck_assert_int_eq(cx_frame_put(&out, CX_CHANNEL_STDERR, data, sizes[_i], &err), 0);
	ck_assert_int_eq(cx_frame_peek((const uint8_t *)out.p, out.len, &f, &err), (int)out.len);
	ck_assert_uint_eq(f.channel, CX_CHANNEL_STDERR);
	ck_assert_uint_eq(f.len, sizes[_i]);
	ck_assert_mem_eq(f.data, data, sizes[_i]);
}
END_TEST

/* _i is every proper prefix; the copy has exactly its size, so ASan sees one byte too far. */
START_TEST(prefix_waits_for_more)
{
	cx_autofree uint8_t *cut = malloc(_i > 0 ? (size_t)_i : 1);
	struct cx_frame f;

	ck_assert_int_eq(cx_frame_put(&out, CX_CHANNEL_STDOUT, "hello", 5, &err), 0);
	memcpy(cut, out.p, (size_t)_i);
	ck_assert_int_eq(cx_frame_peek(cut, (size_t)_i, &f, &err), 0);
}
END_TEST

START_TEST(too_long_is_refused)
{
	static const uint8_t header[] = { 1, 1, 0, 1, 0 }; /* 65,537 */
	struct cx_frame f;

	ck_assert_int_lt(cx_frame_peek(header, sizeof header, &f, &err), 0);
	ck_assert_uint_eq(err.kind, CX_INTERNAL);
}
END_TEST

START_TEST(full_buffer_takes_no_half_frame)
{
	out.max = 16;
	ck_assert_int_eq(cx_frame_put(&out, CX_CHANNEL_STDIN, "12345678", 8, &err), 0);
	ck_assert_int_lt(cx_frame_put(&out, CX_CHANNEL_STDIN, "12345678", 8, &err), 0);
	ck_assert_uint_eq(out.len, 13);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tc = tcase_create("frame");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, bytes_on_the_wire);
	tcase_add_loop_test(tc, round_trip, 0, 6);
	tcase_add_loop_test(tc, prefix_waits_for_more, 0, CX_FRAME_HEADER + 5);
	tcase_add_test(tc, too_long_is_refused);
	tcase_add_test(tc, full_buffer_takes_no_half_frame);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
