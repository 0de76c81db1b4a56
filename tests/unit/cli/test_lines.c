/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "check_main.h"

#include "cli/lines.h"

struct got {
	char text[256];
	unsigned n;
	bool refuse;
};

static int keep(void *arg, const char *text, size_t len, struct cx_err *err)
{
	struct got *got = arg;

	if (got->refuse)
		return cx_refuse(err, CX_INVALID, "no");
	(void)strncat(got->text, text, len);
	(void)strcat(got->text, "|");
	got->n++;
	return 0;
}

static const char stream[] = "one\n\ntwo three\n\n\nf\nlast\n";

/* However the bytes are cut into pieces. */
START_TEST(lines_come_whole)
{
	const size_t piece = (size_t)_i + 1;
	struct got got = { .n = 0 };
	CX_AUTO(cx_lines_free) struct cx_lines lines = { .line = keep, .arg = &got };
	struct cx_err err;

	for (size_t at = 0; at < strlen(stream); at += piece) {
		size_t left = strlen(stream) - at;

		ck_assert_int_eq(
			cx_lines_take(&lines, stream + at, left < piece ? left : piece, &err), 0);
	}
	ck_assert_int_eq(cx_lines_end(&lines, &err), 0);
	ck_assert_str_eq(got.text, "one|two three|f|last|");
	ck_assert_uint_eq(got.n, 4);
}
END_TEST

START_TEST(a_line_without_end_is_refused)
{
	struct got got = { .n = 0 };
	CX_AUTO(cx_lines_free) struct cx_lines lines = { .line = keep, .arg = &got };
	struct cx_err err;

	ck_assert_int_eq(cx_lines_end(&lines, &err), 0);
	ck_assert_int_eq(cx_lines_take(&lines, "one\ntw", 6, &err), 0);
	ck_assert_int_lt(cx_lines_end(&lines, &err), 0);
	ck_assert_str_eq(got.text, "one|");
}
END_TEST

START_TEST(a_refusal_breaks_off)
{
	struct got got = { .refuse = true };
	CX_AUTO(cx_lines_free) struct cx_lines lines = { .line = keep, .arg = &got };
	struct cx_err err;

	ck_assert_int_eq(cx_lines_take(&lines, "a", 1, &err), 0);
	ck_assert_int_eq(cx_lines_take(&lines, "b\n", 2, &err), -EINVAL);
}
END_TEST

START_TEST(a_line_has_a_maximum)
{
	static char piece[1 << 20];
	struct got got = { .n = 0 };
	CX_AUTO(cx_lines_free) struct cx_lines lines = { .line = keep, .arg = &got };
	struct cx_err err;
	unsigned taken = 0;

	memset(piece, 'x', sizeof piece);
	while (taken < 64 && cx_lines_take(&lines, piece, sizeof piece, &err) == 0)
		taken++;
	ck_assert_uint_eq(taken, CX_LINE_MAX / sizeof piece);
	ck_assert_int_eq(err.kind, CX_LIMIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli/lines");
	TCase *tc = tcase_create("lines");

	tcase_add_loop_test(tc, lines_come_whole, 0, (int)sizeof stream);
	tcase_add_test(tc, a_line_without_end_is_refused);
	tcase_add_test(tc, a_refusal_breaks_off);
	tcase_add_test(tc, a_line_has_a_maximum);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
