/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "api/files.h"
#include "check_main.h"

static struct cx_err err;

START_TEST(what_is_too_large_has_a_number_of_its_own)
{
	ck_assert_int_lt(cx_files_refuse_large(&err, "%d bytes", 7), 0);
	ck_assert_str_eq(err.msg, "7 bytes");
	ck_assert_uint_eq(cx_files_status(&err), 413);
	(void)cx_fail(&err, ENOSPC, "write");
	ck_assert_uint_eq(cx_files_status(&err), 507);
	(void)cx_fail(&err, ENOENT, "open");
	ck_assert_uint_eq(cx_files_status(&err), 404);
	(void)cx_refuse(&err, CX_INVALID, "a directory");
	ck_assert_uint_eq(cx_files_status(&err), 400);
}
END_TEST

/* The agent's end blocks, as its child expects; ours never does. */
START_TEST(only_our_end_does_not_wait)
{
	bool ours_writes = _i == 1;
	int ours, theirs;

	ck_assert_int_eq(cx_files_pipe(ours_writes, &ours, &theirs, &err), 0);
	ck_assert_int_eq(fcntl(ours, F_GETFL) & O_ACCMODE, ours_writes ? O_WRONLY : O_RDONLY);
	ck_assert_int_eq(fcntl(theirs, F_GETFL) & O_ACCMODE, ours_writes ? O_RDONLY : O_WRONLY);
	ck_assert((fcntl(ours, F_GETFL) & O_NONBLOCK) != 0);
	ck_assert((fcntl(theirs, F_GETFL) & O_NONBLOCK) == 0);
	ck_assert((fcntl(ours, F_GETFD) & FD_CLOEXEC) != 0);
	ck_assert((fcntl(theirs, F_GETFD) & FD_CLOEXEC) != 0);
	(void)close(ours);
	(void)close(theirs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/files");
	TCase *tc = tcase_create("files");

	tcase_add_test(tc, what_is_too_large_has_a_number_of_its_own);
	tcase_add_loop_test(tc, only_our_end_does_not_wait, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
