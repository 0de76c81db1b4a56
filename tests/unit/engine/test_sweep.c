/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check_main.h"

static char top[64];
static int trash, outside;
static struct cx_err err;

static void setup(void)
{
	strcpy(top, "/tmp/caisson-sweep-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	outside = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(mkdirat(outside, "trash", 0700), 0);
	trash = openat(outside, "trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(trash, 0);
}

static void teardown(void)
{
	(void)unlinkat(outside, "kept", 0);
	(void)unlinkat(outside, "trash", AT_REMOVEDIR);
	cx_close(&trash);
	cx_close(&outside);
	(void)rmdir(top);
}

static void touch(int dirfd, const char *name)
{
	cx_autofd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
}

static void sweep_all(void)
{
	ck_assert_int_eq(cx_sweep(trash, &err), 0);
	ck_assert_int_eq(unlinkat(outside, "trash", AT_REMOVEDIR), 0); /* so it was empty */
}

START_TEST(depth_takes_no_descriptors)
{
	struct rlimit few = { 24, 24 };
	cx_autofd int at = openat(trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < 10000; i++) {
		int next;

		ck_assert_int_eq(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		touch(next, "file");
		cx_close(&at);
		at = next;
	}
	cx_close(&at);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	sweep_all();
}
END_TEST

START_TEST(width_and_modes_do_not_matter)
{
	cx_autofd int dir = -EBADF;
	char name[32];

	ck_assert_int_eq(mkdirat(trash, "wide", 0700), 0);
	dir = openat(trash, "wide", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof name, "f%d", i);
		touch(dir, name);
	}
	for (int i = 0; i < 300; i++) {
		cx_autofd int sub = -EBADF;

		(void)snprintf(name, sizeof name, "d%d", i);
		ck_assert_int_eq(mkdirat(dir, name, 0700), 0);
		sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		touch(sub, "x");
		if (geteuid() == 0)
			ck_assert_int_eq(fchmod(sub, 0), 0);
	}
	sweep_all();
}
END_TEST

START_TEST(links_are_not_followed)
{
	touch(outside, "kept");
	ck_assert_int_eq(mkdirat(trash, "a", 0700), 0);
	ck_assert_int_eq(symlinkat("..", trash, "up"), 0);
	ck_assert_int_eq(symlinkat("../..", trash, "a/up"), 0);
	ck_assert_int_eq(symlinkat("../../kept", trash, "a/kept"), 0);
	sweep_all();
	ck_assert_int_eq(faccessat(outside, "kept", F_OK, 0), 0);
}
END_TEST

START_TEST(names_that_are_taken)
{
	ck_assert_int_eq(mkdirat(trash, "moved-0", 0700), 0);
	ck_assert_int_eq(mkdirat(trash, "moved-0/a", 0700), 0);
	ck_assert_int_eq(mkdirat(trash, "moved-0/a/b", 0700), 0);
	ck_assert_int_eq(mkdirat(trash, "moved-0/a/b/c", 0700), 0);
	sweep_all();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/sweep");
	TCase *tc = tcase_create("sweep");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, depth_takes_no_descriptors);
	tcase_add_test(tc, width_and_modes_do_not_matter);
	tcase_add_test(tc, links_are_not_followed);
	tcase_add_test(tc, names_that_are_taken);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
