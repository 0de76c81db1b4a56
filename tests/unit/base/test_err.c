/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "check_main.h"

#include "base/err.h"

START_TEST(fail_keeps_errno_and_kind)
{
	struct cx_err err = { 0 };
	char text[600];

	ck_assert_int_eq(cx_fail(&err, ENOENT, "open '%s'", "a"), -ENOENT);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
	ck_assert_str_eq(cx_err_render(&err, text, sizeof text),
			 "open 'a': No such file or directory");
}
END_TEST

START_TEST(refusal_shows_no_errno)
{
	struct cx_err err = { 0 };
	char text[600];

	ck_assert_int_eq(cx_refuse(&err, CX_DENIED, "inner"), -EPERM);
	ck_assert_int_eq(cx_wrap(&err, "outer %d", 1), -EPERM);
	ck_assert_str_eq(cx_err_render(&err, text, sizeof text), "outer 1: inner");
}
END_TEST

/* _i goes round the size of the message: one less, exact, one more. */
START_TEST(wrap_never_overflows)
{
	struct cx_err err = { 0 };

	(void)cx_fail(&err, EIO, "%300s", "x");
	for (int n = 0; n < 50; n++) {
		(void)cx_wrap(&err, "%*s", _i, "y");
		ck_assert_uint_lt(err.len, sizeof err.msg);
		ck_assert_uint_eq(err.len, strlen(err.msg));
	}
}
END_TEST

START_TEST(failure_is_never_zero)
{
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_fail(&err, 0, "odd"), 0);
	ck_assert_int_lt(cx_refuse(&err, (enum cx_kind)99, "odd"), 0);
	ck_assert_int_lt(cx_err_adopt(&err, 0, 0, "odd", 3), 0);
}
END_TEST

START_TEST(control_characters_are_replaced)
{
	struct cx_err err = { 0 };

	(void)cx_refuse(&err, CX_INVALID, "entry '%s'", "a\033[31m\nb");
	ck_assert_str_eq(err.msg, "entry 'a?[31m?b'");
}
END_TEST

START_TEST(adopted_error_is_bounded)
{
	struct cx_err err = { 0 };
	char big[2000];

	memset(big, 'x', sizeof big);
	ck_assert_int_lt(cx_err_adopt(&err, 4000, 70000, big, sizeof big), 0);
	ck_assert_uint_lt(err.len, sizeof err.msg);
	ck_assert_int_eq(err.kind, CX_INTERNAL);
	ck_assert_int_eq(cx_err_adopt(&err, CX_LIMIT, ENOSPC, "full", 4), -ENOSPC);
	ck_assert_int_eq(err.kind, CX_LIMIT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/err");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, fail_keeps_errno_and_kind);
	tcase_add_test(tc, refusal_shows_no_errno);
	tcase_add_loop_test(tc, wrap_never_overflows, 495, 512);
	tcase_add_test(tc, failure_is_never_zero);
	tcase_add_test(tc, control_characters_are_replaced);
	tcase_add_test(tc, adopted_error_is_bounded);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
