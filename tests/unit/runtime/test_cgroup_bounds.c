/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "check_main.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

/* Directories that look like groups: top has a tree, "above" and in it "inner". */
static char top[] = "/tmp/caisson-bounds-XXXXXX";

static void put(const char *group, const char *file, const char *text)
{
	cx_autofd int fd = -EBADF;
	struct cx_err err;
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", top, group);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/%s/%s", top, group, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, text, strlen(text), &err), 0);
}

static void look(unsigned controllers, struct cx_cgroup_bounds *ret)
{
	struct cx_cgroups groups = { .n = 1, .trees[0].controllers = controllers };
	char path[256];

	(void)snprintf(path, sizeof path, "%s/above/inner", top);
	groups.trees[0].root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(groups.trees[0].root, 0);
	cx_cgroups_bounds(&groups, ret);
	cx_close(&groups.trees[0].root);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(strcpy(top, "/tmp/caisson-bounds-XXXXXX")));
	put("above", "cgroup.procs", "");
	put("above/inner", "cgroup.procs", "");
}

static void teardown(void)
{
	char command[64];

	(void)snprintf(command, sizeof command, "rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(nothing_said_is_no_bound)
{
	struct cx_cgroup_bounds b;

	put("above", "memory.max", "max\n");
	put("above", "pids.max", "max\n");
	look(CX_CTL_MEMORY | CX_CTL_PIDS, &b);
	ck_assert_uint_eq(b.memory, UINT64_MAX);
	ck_assert_uint_eq(b.memory_left, UINT64_MAX);
	ck_assert_uint_eq(b.pids, UINT64_MAX);
}
END_TEST

/* The tightest of those around it counts, for what it has and for what is left. */
START_TEST(v2_groups_bound)
{
	struct cx_cgroup_bounds b;

	put("above/inner", "memory.max", "3000\n");
	put("above/inner", "memory.current", "100\n");
	put("above", "memory.max", "4000\n");
	put("above", "memory.current", "3800\n");
	put("above", "memory.stat", "anon 1\ninactive_file 500\nactive_file 7\n");
	put("above/inner", "pids.max", "50\n");
	put("above/inner", "pids.current", "60\n");
	look(CX_CTL_MEMORY | CX_CTL_PIDS, &b);
	ck_assert_uint_eq(b.memory, 3000);
	ck_assert_uint_eq(b.memory_left, 700);
	ck_assert_uint_eq(b.pids, 50);
	ck_assert_uint_eq(b.pids_left, 0);
	look(CX_CTL_CPU, &b);
	ck_assert_uint_eq(b.memory, UINT64_MAX);
}
END_TEST

START_TEST(v1_groups_bound)
{
	struct cx_cgroup_bounds b;

	put("above", "memory.limit_in_bytes", "9000\n");
	put("above", "memory.usage_in_bytes", "8000\n");
	put("above", "memory.stat", "inactive_file 1\ntotal_inactive_file 2000\n");
	look(CX_CTL_MEMORY, &b);
	ck_assert_uint_eq(b.memory, 9000);
	ck_assert_uint_eq(b.memory_left, 3000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime/cgroup_bounds");
	TCase *tc = tcase_create("bounds");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_said_is_no_bound);
	tcase_add_test(tc, v2_groups_bound);
	tcase_add_test(tc, v1_groups_bound);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
