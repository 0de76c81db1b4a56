/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <string.h>

#include "check_main.h"

#include "proto/control_msgs.h"
#include "proto/netrule.h"

static const struct cx_netrule good[] = {
	{ .family = 4 },
	{ .family = 4, .prefix = 8, .address = { 10 } },
	{ .family = 4, .prefix = 32, .protocol = IPPROTO_TCP, .address = { 192, 0, 2, 255 } },
	{ .family = 4, .protocol = IPPROTO_UDP, .low = 1, .high = 65535 },
	{ .family = 6 },
	{ .family = 6, .prefix = 33, .address = { 0x20, 1, 0xd, 0xb8, 0x80 } },
	{ .family = 6,
	  .prefix = 128,
	  .protocol = IPPROTO_TCP,
	  .low = 443,
	  .high = 443,
	  .address = { [0] = 0xfd, [15] = 1 } },
};

START_TEST(what_was_put_is_got)
{
	uint8_t bytes[CX_NETRULE_SIZE];
	struct cx_netrule again;
	struct cx_err err = { 0 };

	cx_netrule_put(&good[_i], bytes);
	ck_assert_msg(cx_netrule_get(bytes, &again, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(again.family, good[_i].family);
	ck_assert_uint_eq(again.prefix, good[_i].prefix);
	ck_assert_uint_eq(again.protocol, good[_i].protocol);
	ck_assert_uint_eq(again.low, good[_i].low);
	ck_assert_uint_eq(again.high, good[_i].high);
	ck_assert_mem_eq(again.address, good[_i].address, sizeof again.address);
}
END_TEST

START_TEST(the_bytes_are_as_said)
{
	static const uint8_t expected[CX_NETRULE_SIZE] = {
		4, 24, 6, 0, 0x50, 0, 0xbb, 1, 192, 0, 2
	};
	const struct cx_netrule rule = { .family = 4,
					 .prefix = 24,
					 .protocol = IPPROTO_TCP,
					 .low = 80,
					 .high = 443,
					 .address = { 192, 0, 2 } };
	uint8_t bytes[CX_NETRULE_SIZE];

	cx_netrule_put(&rule, bytes);
	ck_assert_mem_eq(bytes, expected, sizeof bytes);
}
END_TEST

static const struct cx_netrule bad[] = {
	{ .family = 0 },
	{ .family = 5 },
	{ .family = 4, .prefix = 33 },
	{ .family = 6, .prefix = 129 },
	{ .family = 4, .prefix = 8, .address = { 10, 1 } },
	{ .family = 4, .prefix = 31, .address = { 10, 0, 0, 1 } },
	{ .family = 4, .prefix = 32, .address = { [4] = 1 } },
	{ .family = 6, .prefix = 127, .address = { [15] = 1 } },
	{ .family = 4, .protocol = IPPROTO_ICMP },
	{ .family = 4, .low = 1, .high = 1 },
	{ .family = 4, .protocol = IPPROTO_TCP, .low = 0, .high = 1 },
	{ .family = 4, .protocol = IPPROTO_TCP, .low = 1, .high = 0 },
	{ .family = 4, .protocol = IPPROTO_UDP, .low = 2, .high = 1 },
};

START_TEST(all_else_is_refused)
{
	uint8_t bytes[CX_NETRULE_SIZE];
	struct cx_netrule rule;
	struct cx_err err = { 0 };

	cx_netrule_put(&bad[_i], bytes);
	ck_assert_int_lt(cx_netrule_get(bytes, &rule, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(the_byte_that_means_nothing_is_zero)
{
	uint8_t bytes[CX_NETRULE_SIZE] = { 4, 0, 0, 1 };
	struct cx_netrule rule;
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_netrule_get(bytes, &rule, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proto/netrule");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, what_was_put_is_got, 0, CX_LEN(good));
	tcase_add_test(tc, the_bytes_are_as_said);
	tcase_add_loop_test(tc, all_else_is_refused, 0, CX_LEN(bad));
	tcase_add_test(tc, the_byte_that_means_nothing_is_zero);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
