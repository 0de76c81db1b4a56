/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "base/fd.h"
#include "base/log.h"

/* What one call writes to stderr. */
static size_t logged(char *out, size_t size, enum cx_level level, const char *value)
{
	int p[2], saved = dup(STDERR_FILENO);
	struct cx_err err;
	ssize_t n;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_ge(dup2(p[1], STDERR_FILENO), 0);
	close(p[1]);
	(void)cx_fail(&err, 2, "open");
	cx_log_err(level, &err, "something happened", "key", value, NULL);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	close(saved);
	n = cx_read_upto(p[0], out, size - 1, &err);
	close(p[0]);
	ck_assert_int_ge(n, 0);
	out[n] = '\0';
	return (size_t)n;
}

START_TEST(one_line_whatever_the_value)
{
	char out[8192], big[5000];
	size_t n = logged(out, sizeof out, CX_LOG_INFO, "a\nerror forged \033[2J\xc2\x9bK \"x\"");

	ck_assert_ptr_eq(strchr(out, '\n'), out + n - 1);
	ck_assert_ptr_null(strchr(out, '\033'));
	ck_assert_ptr_null(strstr(out, "\xc2\x9b"));
	ck_assert_ptr_nonnull(strstr(out, " info test something happened key=\"a?error forged "));
	ck_assert_ptr_nonnull(strstr(out, "\\\"x\\\"\" error=\"open: No such file or directory\""));
	memset(big, 'b', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	n = logged(out, sizeof out, CX_LOG_INFO, big);
	ck_assert_ptr_eq(strchr(out, '\n'), out + n - 1);
}
END_TEST

START_TEST(levels_filter)
{
	char out[512];
	enum cx_level level;
	struct cx_err err;

	ck_assert_uint_eq(logged(out, sizeof out, CX_LOG_DEBUG, "x"), 0);
	ck_assert_int_eq(cx_log_parse_level("warning", &level, &err), 0);
	ck_assert_int_eq(level, CX_LOG_WARNING);
	ck_assert_int_lt(cx_log_parse_level("loud", &level, &err), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/log");
	TCase *tc = tcase_create("all");

	(void)unsetenv("JOURNAL_STREAM");
	cx_log_open("test", CX_LOG_INFO);
	tcase_add_test(tc, one_line_whatever_the_value);
	tcase_add_test(tc, levels_filter);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
