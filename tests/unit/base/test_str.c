/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "base/str.h"

static const struct {
	const char *text;
	uint64_t min, max;
	int ok;
	uint64_t value;
} numbers[] = {
	{ "0", 0, 9, 1, 0 },
	{ "9", 0, 9, 1, 9 },
	{ "10", 0, 9, 0, 0 },
	{ "007", 0, 9, 1, 7 },
	{ "18446744073709551615", 0, UINT64_MAX, 1, UINT64_MAX },
	{ "18446744073709551616", 0, UINT64_MAX, 0, 0 },
	{ "99999999999999999999999", 0, UINT64_MAX, 0, 0 },
	{ "", 0, 9, 0, 0 },
	{ "-1", 0, 9, 0, 0 },
	{ "+1", 0, 9, 0, 0 },
	{ " 1", 0, 9, 0, 0 },
	{ "1 ", 0, 9, 0, 0 },
	{ "1e3", 0, UINT64_MAX, 0, 0 },
	{ "0x10", 0, UINT64_MAX, 0, 0 },
	{ "nan", 0, UINT64_MAX, 0, 0 },
	{ "4", 5, 9, 0, 0 },
};

START_TEST(parses_whole_numbers_only)
{
	struct cx_err err;
	uint64_t v = 4711;
	int r = cx_parse_u64(numbers[_i].text, numbers[_i].min, numbers[_i].max, "n", &v, &err);

	ck_assert_msg((r == 0) == numbers[_i].ok, "'%s'", numbers[_i].text);
	ck_assert_uint_eq(v, numbers[_i].ok ? numbers[_i].value : 4711);
}
END_TEST

START_TEST(format_never_cuts)
{
	char buf[8];
	struct cx_err err;

	ck_assert_int_eq(cx_format(buf, sizeof buf, "%s", &err, "1234567"), 7);
	ck_assert_int_lt(cx_format(buf, sizeof buf, "%s", &err, "12345678"), 0);
}
END_TEST

START_TEST(hex_both_ways)
{
	uint8_t in[4] = { 0, 0x9a, 0xff, 0x10 }, out[4] = { 0 };
	char text[9];

	cx_to_hex(in, sizeof in, text);
	ck_assert_str_eq(text, "009aff10");
	ck_assert(cx_from_hex(text, out, sizeof out));
	ck_assert_mem_eq(in, out, sizeof in);
	ck_assert(!cx_from_hex("009aff1", out, sizeof out));
	ck_assert(!cx_from_hex("009aff100", out, sizeof out));
	ck_assert(!cx_from_hex("009aff1G", out, sizeof out));
	ck_assert(!cx_from_hex("009AFF10", out, sizeof out));
}
END_TEST

static const struct {
	const char *text;
	bool ok;
} names[] = {
	{ "a", true },	       { "abc-1.2_3", true }, { "12345678", true },
	{ "", false },	       { ".", false },	      { "..", false },
	{ ".a", false },       { "-a", false },	      { "a/b", false },
	{ "a b", false },      { "a\n", false },      { "a\033", false },
	{ "\xc3\xa4", false }, { "a*", false },	      { "1234567890123", false },
};

START_TEST(plain_names)
{
	ck_assert_msg(cx_is_plain_name(names[_i].text, 12) == names[_i].ok, "'%s'", names[_i].text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/str");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, parses_whole_numbers_only, 0, (int)CX_LEN(numbers));
	tcase_add_test(tc, format_never_cuts);
	tcase_add_test(tc, hex_both_ways);
	tcase_add_loop_test(tc, plain_names, 0, (int)CX_LEN(names));
	suite_add_tcase(s, tc);
	return run_suite(s);
}
