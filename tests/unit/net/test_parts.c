/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "partlook.h"
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

static uint32_t count(const struct cx_part *parts, uint32_t n, const char *set)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += strcmp(cx_part_sets[parts[i].set].name, set) == 0;
	return found;
}

START_TEST(a_host_is_one_part)
{
	const struct cx_netrule rule = net4(10, 7, 32, 0, 0, 0);
	const uint8_t expected[16] = { 10, 7 };
	cx_autofree struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(&rule, 1, &parts), 1);
	ck_assert_str_eq(cx_part_sets[parts[0].set].name, "net4_8");
	ck_assert_uint_eq(parts[0].class, 0);
	ck_assert_mem_eq(parts[0].value, expected, sizeof expected);
}
END_TEST

START_TEST(networks_are_cut_at_whole_digits)
{
	struct cx_netrule rule = net4(10, 16, 13, 0, 0, 0);
	cx_autofree struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(&rule, 1, &parts), 8);
	ck_assert_uint_eq(count(parts, 8, "net4_4"), 8);
	for (uint8_t i = 0; i < 8; i++)
		ck_assert_uint_eq(parts[i].value[1], 16 + i);
	free(cx_take_ptr(&parts));
	rule.prefix = 12;
	ck_assert_uint_eq(make(&rule, 1, &parts), 1);
	free(cx_take_ptr(&parts));
	rule = (struct cx_netrule){ .family = 6, .prefix = 126, .address = { 0x20, [15] = 4 } };
	ck_assert_uint_eq(make(&rule, 1, &parts), 4);
	ck_assert_uint_eq(count(parts, 4, "net6_32"), 4);
	free(cx_take_ptr(&parts));
	rule = net4(0, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(make(&rule, 1, &parts), 1);
	ck_assert_uint_eq(count(parts, 1, "net4_0"), 1);
}
END_TEST

START_TEST(ports_are_cut_at_whole_digits)
{
	static const struct {
		uint16_t low, high;
		uint32_t parts[5];
	} rows[] = {
		{ 0, 0, { 1 } },
		{ 80, 80, { [4] = 1 } },
		{ 1, 65535, { 0, 15, 15, 15, 15 } },
		{ 8000, 8999, { [2] = 3, [3] = 14, [4] = 8 } },
		{ 65535, 65535, { [4] = 1 } },
	};
	static const char *const sets[] = { "udp_0", "udp_1", "udp_2", "udp_3", "udp_4" };

	for (size_t i = 0; i < CX_LEN(rows); i++) {
		const struct cx_netrule rule = net4(10, 0, 8, 17, rows[i].low, rows[i].high);
		cx_autofree struct cx_part *parts = NULL;
		uint32_t n = make(&rule, 1, &parts);

		ck_assert_uint_eq(count(parts, n, "net4_2"), 1);
		for (size_t set = 0; set < CX_LEN(sets); set++)
			ck_assert_uint_eq(count(parts, n, sets[set]), rows[i].parts[set]);
	}
}
END_TEST

START_TEST(networks_of_which_the_same_is_said_share_it)
{
	const struct cx_netrule rules[] = {
		net4(10, 1, 32, 6, 443, 443),  net4(10, 1, 32, 17, 443, 443),
		net4(10, 2, 32, 17, 443, 443), net4(10, 2, 32, 6, 443, 443),
		net4(10, 3, 32, 6, 443, 443),
	};
	cx_autofree struct cx_part *parts = NULL;
	uint32_t n = make(rules, CX_LEN(rules), &parts);

	ck_assert_uint_eq(count(parts, n, "net4_8"), 3);
	ck_assert_uint_eq(count(parts, n, "tcp_4"), 2);
	ck_assert_uint_eq(count(parts, n, "udp_4"), 1);
}
END_TEST

START_TEST(what_the_network_around_says_is_left_out)
{
	const struct cx_netrule rules[] = {
		net4(10, 0, 8, 6, 80, 90), net4(10, 1, 16, 6, 85, 86), net4(10, 2, 16, 6, 91, 91),
		net4(10, 3, 16, 0, 0, 0),  net4(10, 3, 17, 6, 22, 22), net4(10, 3, 16, 6, 22, 22),
		net4(10, 0, 8, 6, 85, 90),
	};
	cx_autofree struct cx_part *parts = NULL;
	uint32_t n = make(rules, CX_LEN(rules), &parts);

	ck_assert_uint_eq(count(parts, n, "net4_2"), 1);
	ck_assert_uint_eq(count(parts, n, "net4_4"), 2);
	ck_assert_uint_eq(count(parts, n, "net4_5"), 0);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Of few bits, so that rules are in, beside and on one another. */
static struct cx_netrule random_rule(uint32_t *state)
{
	static const uint8_t protocols[] = { 0, 6, 17, 6, 17 };
	uint32_t r = next_random(state), low = next_random(state) % 36 + 65500u;
	struct cx_netrule rule = { .family = r % 4 == 0 ? 6 : 4,
				   .protocol = protocols[next_random(state) % 5] };
	unsigned bits = rule.family == 4 ? 32 : 128;

	rule.prefix = (uint8_t)(r % 8 < 4 ? bits - next_random(state) % 8 : bits - 20 + r / 8 % 9);
	rule.address[0] = 20;
	rule.address[bits / 8 - 1] = (uint8_t)(r / 64);
	for (unsigned bit = rule.prefix; bit < bits; bit++)
		rule.address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (rule.protocol != 0 && next_random(state) % 5 != 0) {
		rule.low = (uint16_t)low;
		rule.high = (uint16_t)(low + next_random(state) % (65536 - low));
	}
	return rule;
}

START_TEST(parts_say_what_rules_say)
{
	static const uint8_t protocols[] = { 6, 17, 1 };
	uint32_t state = 7, yes = 0, no = 0;

	for (unsigned turn = 0; turn < 200; turn++) {
		struct cx_netrule rules[24];
		uint32_t nrules = turn % CX_LEN(rules) + 1, n;
		cx_autofree struct cx_part *parts = NULL;

		for (uint32_t i = 0; i < nrules; i++)
			rules[i] = random_rule(&state);
		n = make(rules, nrules, &parts);
		ck_assert(parts_are_apart(parts, n));
		for (uint32_t i = 0; i < 500; i++) {
			const struct cx_netrule like = random_rule(&state);
			struct packet p = { .family = like.family,
					    .protocol = protocols[next_random(&state) % 3],
					    .port = (uint16_t)(65490 + next_random(&state) % 46) };
			bool wanted = false;

			memcpy(p.address, like.address, sizeof p.address);
			for (uint32_t r = 0; r < nrules; r++)
				wanted |= rule_has(&rules[r], &p);
			ck_assert_int_eq(parts_have(parts, n, &p), wanted);
			*(wanted ? &yes : &no) += 1;
		}
	}
	ck_assert_uint_gt(yes, 10000);
	ck_assert_uint_gt(no, 10000);
}
END_TEST

START_TEST(parts_come_by_set)
{
	const struct cx_netrule rules[] = { net4(10, 1, 32, 6, 80, 80), net4(9, 0, 8, 0, 0, 0),
					    net4(11, 1, 32, 17, 8, 9), net4(12, 0, 8, 0, 0, 0) };
	cx_autofree struct cx_part *parts = NULL;
	uint32_t n = make(rules, CX_LEN(rules), &parts);

	for (uint32_t i = 1; i < n; i++)
		ck_assert_uint_ge(parts[i].set, parts[i - 1].set);
}
END_TEST

START_TEST(no_rules_are_no_parts)
{
	struct cx_part *parts = NULL;

	ck_assert_uint_eq(make(NULL, 0, &parts), 0);
	ck_assert_ptr_null(parts);
}
END_TEST

/* Each of many hosts has one port more than its network, which has many. */
START_TEST(too_many_parts_are_refused)
{
	static struct cx_netrule rules[CX_NETRULES_MAX + 1];
	cx_autofree struct cx_part *parts = NULL;
	struct cx_err err = { 0 };
	uint32_t n = 0;

	for (unsigned i = 0; i < CX_NETRULES_MAX / 2; i++) {
		rules[i] = net4(10, 0, 8, 6, (uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1));
		rules[CX_NETRULES_MAX / 2 + i] =
			net4(10, (uint8_t)i, 32, 6, (uint16_t)(2 * i + 2), (uint16_t)(2 * i + 2));
		rules[CX_NETRULES_MAX / 2 + i].address[2] = (uint8_t)(i >> 8);
	}
	ck_assert_int_lt(cx_parts_make(rules, CX_NETRULES_MAX, &parts, &n, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "8192 parts"));
	ck_assert_int_lt(cx_parts_make(rules, CX_NETRULES_MAX + 1, &parts, &n, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_ptr_null(parts);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/parts");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, a_host_is_one_part);
	tcase_add_test(tc, networks_are_cut_at_whole_digits);
	tcase_add_test(tc, ports_are_cut_at_whole_digits);
	tcase_add_test(tc, networks_of_which_the_same_is_said_share_it);
	tcase_add_test(tc, what_the_network_around_says_is_left_out);
	tcase_add_test(tc, parts_say_what_rules_say);
	tcase_add_test(tc, parts_come_by_set);
	tcase_add_test(tc, no_rules_are_no_parts);
	tcase_add_test(tc, too_many_parts_are_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
