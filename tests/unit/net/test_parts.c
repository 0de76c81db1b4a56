/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "net/parts.h"
#include "proto/control_msgs.h"

static struct cx_netrule net4(uint8_t a, uint8_t b, uint8_t prefix, uint8_t protocol, uint16_t low,
			      uint16_t high)
{
	return (struct cx_netrule){ .family = 4,
				    .prefix = prefix,
				    .protocol = protocol,
				    .low = low,
				    .high = high,
				    .address = { a, b } };
}

static uint32_t make(const struct cx_netrule *rules, uint32_t n, struct cx_part **ret)
{
	struct cx_err err = { 0 };
	uint32_t made = 0;

	ck_assert_msg(cx_parts_make(rules, n, ret, &made, &err) == 0, "%s", err.msg);
	return made;
}

START_TEST(one_rule_is_one_part)
{
	const struct cx_netrule rule = { .family = 6,
					 .prefix = 20,
					 .protocol = 6,
					 .low = 80,
					 .high = 90,
					 .address = { 0x20, 1, 0x10 } };
	const struct cx_part expected = { .family = 6,
					  .protocol = 6,
					  .first = { 0x20, 1, 0x10 },
					  .last = { 0x20, 1, 0x1f, 255, 255, 255, 255, 255, 255,
						    255, 255, 255, 255, 255, 255, 255 },
					  .low = 80,
					  .high = 90 };
	cx_autofree struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(&rule, 1, &parts), 1);
	ck_assert_mem_eq(&parts[0], &expected, sizeof expected);
}
END_TEST

START_TEST(no_ports_are_all_of_them)
{
	const struct cx_netrule rules[] = { net4(10, 0, 8, 6, 0, 0), net4(0, 0, 0, 0, 0, 0) };
	cx_autofree struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(rules, 1, &parts), 1);
	ck_assert_uint_eq(parts[0].low, 0);
	ck_assert_uint_eq(parts[0].high, 65535);
	free(cx_take_ptr(&parts));
	ck_assert_uint_eq(make(rules + 1, 1, &parts), 1);
	ck_assert_uint_eq(parts[0].last[3], 255);
	ck_assert_uint_eq(parts[0].last[4], 0);
}
END_TEST

START_TEST(what_another_rule_says_is_left_out)
{
	const struct cx_netrule rules[] = {
		net4(10, 1, 16, 6, 70, 90), net4(10, 0, 8, 6, 80, 80),
		net4(10, 1, 16, 6, 85, 99), net4(10, 1, 16, 6, 80, 80),
		net4(10, 2, 16, 6, 80, 80), net4(10, 3, 16, 17, 80, 80),
		net4(10, 3, 16, 0, 0, 0),   net4(10, 3, 16, 17, 53, 53),
	};
	static const struct {
		uint8_t second, protocol;
		uint16_t low, high;
	} expected[] = {
		{ 3, 0, 0, 65535 },
		{ 1, 6, 70, 79 },
		{ 1, 6, 81, 99 },
		{ 0, 6, 80, 80 },
	};
	cx_autofree struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(rules, CX_LEN(rules), &parts), CX_LEN(expected));
	for (size_t i = 0; i < CX_LEN(expected); i++) {
		ck_assert_uint_eq(parts[i].first[1], expected[i].second);
		ck_assert_uint_eq(parts[i].protocol, expected[i].protocol);
		ck_assert_uint_eq(parts[i].low, expected[i].low);
		ck_assert_uint_eq(parts[i].high, expected[i].high);
	}
}
END_TEST

START_TEST(families_are_apart)
{
	struct cx_netrule rules[] = { net4(0, 0, 0, 0, 0, 0), net4(0, 0, 0, 0, 0, 0) };
	cx_autofree struct cx_part *parts = NULL;

	rules[1].family = 6;
	ck_assert_uint_eq(make(rules, 2, &parts), 2);
	rules[1].family = 4;
	free(cx_take_ptr(&parts));
	ck_assert_uint_eq(make(rules, 2, &parts), 1);
}
END_TEST

START_TEST(no_rules_are_no_parts)
{
	struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(NULL, 0, &parts), 0);
	ck_assert_ptr_null(parts);
}
END_TEST

/* Each of many hosts has all ports but those, one here and there, that its network has. */
START_TEST(too_many_parts_are_refused)
{
	static struct cx_netrule rules[CX_NETRULES_MAX + 1];
	cx_autofree struct cx_part *parts = NULL;
	struct cx_err err = { 0 };
	uint32_t n = 0;

	for (unsigned i = 0; i < CX_NETRULES_MAX / 2; i++) {
		rules[i] = net4(10, 0, 8, 6, (uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1));
		rules[CX_NETRULES_MAX / 2 + i] = net4(10, (uint8_t)i, 32, 6, 0, 0);
		rules[CX_NETRULES_MAX / 2 + i].address[2] = (uint8_t)(i >> 8);
	}
	ck_assert_int_lt(cx_parts_make(rules, CX_NETRULES_MAX, &parts, &n, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	ck_assert_int_lt(cx_parts_make(rules, CX_NETRULES_MAX + 1, &parts, &n, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_ptr_null(parts);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/parts");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, one_rule_is_one_part);
	tcase_add_test(tc, no_ports_are_all_of_them);
	tcase_add_test(tc, what_another_rule_says_is_left_out);
	tcase_add_test(tc, families_are_apart);
	tcase_add_test(tc, no_rules_are_no_parts);
	tcase_add_test(tc, too_many_parts_are_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
