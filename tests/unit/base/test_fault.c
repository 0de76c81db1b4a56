/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FAULT_INJECTION
#define CX_FAULT_INJECTION /* here, whatever the rest of the build has */
#endif
#include "base/fault.c"

#include <search.h>
#include <sys/wait.h>

#include "check_main.h"

static struct cx_fault_plan page;

static void arm(uint64_t kinds, uint64_t left, uint64_t times, uint64_t action)
{
	page = (struct cx_fault_plan){
		.kinds = kinds, .left = left, .times = times, .action = action
	};
	plan = &page;
	ck_assert(make_mine());
}

START_TEST(nothing_without_a_plan)
{
	struct cx_err err = { 0 };

	plan = NULL;
	ck_assert_int_eq(cx_fault_step("a", &err), 0);
	ck_assert_int_eq(cx_fault_point(CX_FAULT_CALL, "write"), 0);
}
END_TEST

START_TEST(the_nth_of_its_kind)
{
	struct cx_err err = { 0 };

	arm(CX_FAULT_STEP, 2, 0, CX_FAULT_FAIL + ENOSPC);
	ck_assert_int_eq(cx_fault_step("first", &err), 0);
	ck_assert_int_eq(cx_fault_point(CX_FAULT_CALL, "write"), 0); /* of another kind */
	ck_assert_int_eq(cx_fault_step("second", &err), -ENOSPC);
	ck_assert_int_eq(err.errnum, ENOSPC);
	ck_assert_str_eq(page.name, "second");
	ck_assert_int_eq(cx_fault_step("third", &err), 0); /* once */
	ck_assert_uint_eq(page.count, 3);
	ck_assert_uint_eq(page.fired, 1);
}
END_TEST

START_TEST(more_than_once)
{
	arm(CX_FAULT_CALL | CX_FAULT_OPEN, 1, 2, CX_FAULT_FAIL + EMFILE);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(cx_fault_point(CX_FAULT_OPEN, "open"), EMFILE);
	ck_assert_int_eq(cx_fault_point(CX_FAULT_OPEN, "open"), 0);
	ck_assert_uint_eq(page.fired, 3);
}
END_TEST

START_TEST(counting_changes_nothing)
{
	arm(CX_FAULT_STEP, 0, 0, CX_FAULT_KILL);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(cx_fault_point(CX_FAULT_STEP, "step"), 0);
	ck_assert_uint_eq(page.count, 5);
	ck_assert_uint_eq(page.fired, 0);
}
END_TEST

static const struct cx_fault_place *only_place(void)
{
	const struct cx_fault_place *found = NULL;

	for (size_t i = 0; i < CX_FAULT_PLACES; i++) {
		if (page.places[i].place == 0)
			continue;
		ck_assert_ptr_null(found);
		found = &page.places[i];
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

START_TEST(a_place_is_remembered_once_with_its_kinds)
{
	static const enum cx_fault_kind kinds[] = { CX_FAULT_CALL, CX_FAULT_OPEN, CX_FAULT_CALL };

	/* volatile, or the compiler may make three places of the one */
	arm(CX_FAULT_CALL | CX_FAULT_OPEN, 0, 0, CX_FAULT_NOTHING);
	for (volatile size_t i = 0; i < CX_LEN(kinds); i++)
		ck_assert_int_eq(cx_fault_point(kinds[i], "open"), 0);
	ck_assert_uint_eq(only_place()->count, 3);
	ck_assert_uint_eq(only_place()->kinds, CX_FAULT_CALL | CX_FAULT_OPEN);
}
END_TEST

static int deep(int n);
static int (*volatile deeper)(int) = deep; /* or a compiler makes one call of all */

/* Deeper than what takes the place of libc's calls. */
static int deep(int n)
{
	volatile int found = n > 0 ? deeper(n - 1) : cx_fault_point(CX_FAULT_CALL, "write");

	return found;
}

static int compare(const void *a, const void *b)
{
	(void)a;
	(void)b;
	return deep(OWN_FRAMES);
}

START_TEST(what_leads_to_a_library_that_calls_back_is_no_part_of_a_place)
{
	const int some[1] = { 0 };
	size_t n = CX_LEN(some);

	arm(CX_FAULT_CALL, 0, 0, CX_FAULT_NOTHING);
	ck_assert_ptr_nonnull(lfind(some, some, &n, sizeof some[0], compare));
	ck_assert_ptr_nonnull(lfind(some, some, &n, sizeof some[0], compare));
	ck_assert_uint_eq(only_place()->count, 2);
}
END_TEST

START_TEST(errno_is_kept)
{
	arm(CX_FAULT_CALL, 1, 0, CX_FAULT_FAIL + EIO);
	errno = EXDEV;
	ck_assert_int_eq(cx_fault_point(CX_FAULT_CALL, "write"), EIO);
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

static int status_of_child(bool counts)
{
	int status = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (counts)
			*mine = true;
		(void)cx_fault_point(CX_FAULT_STEP, "step");
		_exit(7);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(kills_itself_and_not_what_it_forks)
{
	int status;

	arm(CX_FAULT_STEP, 1, 0, CX_FAULT_KILL);
	status = status_of_child(true);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = status_of_child(false);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}
END_TEST

START_TEST(the_plan_is_beside_the_program)
{
	char name[] = "x", option[] = "--sweep", more[] = "--state", path[640];
	char *one[] = { name, option, NULL }, *two[] = { name, more, option, NULL };
	char scan[] = "scan", *role[] = { name, scan, option, NULL };

	plan_path(path, sizeof path, 2, one);
	ck_assert(strstr(path, "/faults/test_fault.--sweep") != NULL);
	plan_path(path, sizeof path, 3, role);
	ck_assert(strstr(path, "/faults/test_fault.scan") != NULL);
	plan_path(path, sizeof path, 3, two);
	ck_assert_str_eq(strrchr(path, '/'), "/test_fault");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault");
	TCase *tc = tcase_create("points");

	tcase_add_test(tc, nothing_without_a_plan);
	tcase_add_test(tc, the_nth_of_its_kind);
	tcase_add_test(tc, more_than_once);
	tcase_add_test(tc, counting_changes_nothing);
	tcase_add_test(tc, a_place_is_remembered_once_with_its_kinds);
	tcase_add_test(tc, what_leads_to_a_library_that_calls_back_is_no_part_of_a_place);
	tcase_add_test(tc, errno_is_kept);
	tcase_add_test(tc, kills_itself_and_not_what_it_forks);
	tcase_add_test(tc, the_plan_is_beside_the_program);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
