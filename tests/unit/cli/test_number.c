/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/number.h"

#include <string.h>

#include "check_main.h"

static const struct {
	const char *text;
	double gib; /* -1: refused */
} sizes[] = {
	{ "512M", 0.5 },
	{ "1.5G", 1.5 },
	{ "2", 2 },
	{ "0.25", 0.25 },
	{ ".5g", 0.5 },
	{ "1T", 1024 },
	{ "1024k", 1.0 / 1024 },
	{ "512MB", 0.5 },
	{ "512MiB", 0.5 },
	{ "0", 0 },
	{ "1.", 1 },
	{ "NaN", -1 },
	{ "nan", -1 },
	{ "inf", -1 },
	{ "", -1 },
	{ "-1", -1 },
	{ "+1", -1 },
	{ "1e3", -1 },
	{ "0x10", -1 },
	{ "1 G", -1 },
	{ " 1", -1 },
	{ "1GG", -1 },
	{ "1B", -1 },
	{ "1..5", -1 },
	{ ".", -1 },
	{ "1,5", -1 },
	{ "M", -1 },
	{ "1Gi", -1 },
	{ "1P", -1 },
	{ "1G\n", -1 },
	{ "--5", -1 },
	{ "99999999999999999999", -1 },
};

START_TEST(size)
{
	struct cx_err err = { 0 };
	double gib = -2;
	int r = cx_number_parse_gib(sizes[_i].text, "--memory", &gib, &err);

	if (sizes[_i].gib < 0) {
		ck_assert_msg(r < 0, "'%s' was taken as %g", sizes[_i].text, gib);
		ck_assert_uint_eq(err.kind, CX_INVALID);
		ck_assert_ptr_nonnull(strstr(err.msg, "--memory"));
		ck_assert_double_eq(gib, -2);
		return;
	}
	ck_assert_msg(r == 0, "'%s': %s", sizes[_i].text, err.msg);
	ck_assert_double_eq(gib, sizes[_i].gib);
}
END_TEST

static const struct {
	const char *text;
	double value;
} numbers[] = {
	{ "1", 1 },    { "0.5", 0.5 }, { "12.25", 12.25 }, { "1M", -1 },
	{ "NaN", -1 }, { "-0", -1 },   { "1e9", -1 },	   { "infinity", -1 },
	{ "", -1 },    { "1 ", -1 },   { "0x1p4", -1 },
};

START_TEST(number)
{
	struct cx_err err = { 0 };
	double value = -2;
	int r = cx_number_parse(numbers[_i].text, "--cpus", &value, &err);

	ck_assert_int_eq(r == 0, numbers[_i].value >= 0);
	if (r == 0)
		ck_assert_double_eq(value, numbers[_i].value);
}
END_TEST

START_TEST(shown)
{
	char buf[32];

	ck_assert_str_eq(cx_number_show_bytes(0, buf, sizeof buf), "0 B");
	ck_assert_str_eq(cx_number_show_bytes(1023, buf, sizeof buf), "1023 B");
	ck_assert_str_eq(cx_number_show_bytes(1536, buf, sizeof buf), "1.5 KiB");
	ck_assert_str_eq(cx_number_show_bytes(201162240, buf, sizeof buf), "191.8 MiB");
	ck_assert_str_eq(cx_number_show_bytes(UINT64_MAX, buf, sizeof buf), "16384.0 PiB");
	ck_assert_str_eq(cx_number_show_part(88080384, 629145600, buf, sizeof buf),
			 "84.0/600.0 MiB");
	ck_assert_str_eq(cx_number_show_part(7, 1023, buf, sizeof buf), "7/1023 B");
	ck_assert_str_eq(cx_number_show_part(512, 1024, buf, sizeof buf), "0.5/1.0 KiB");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("number");
	TCase *tc = tcase_create("number");

	tcase_add_loop_test(tc, size, 0, CX_LEN(sizes));
	tcase_add_loop_test(tc, number, 0, CX_LEN(numbers));
	tcase_add_test(tc, shown);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
