/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

#include "base/fd.h"
#include "net/sysctl.h"

static const struct cx_sysctl_row rows[] = {
	{ "a", "1", "always", CX_SYSCTL_ALWAYS },
	{ "d/b", "2", "with", CX_SYSCTL_WITH_IP6 },
	{ "d/c", "3", "without", CX_SYSCTL_WITHOUT_IP6 },
};

static char dir[] = "/tmp/cx-sysctl-XXXXXX";

static void make_file(const char *name)
{
	char path[128];
	cx_autofd int fd = -EBADF;

	ck_assert_int_gt(snprintf(path, sizeof path, "%s/%s", dir, name), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
}

static const char *content(const char *name)
{
	static char text[16];
	char path[128];
	struct cx_err err = { 0 };

	ck_assert_int_gt(snprintf(path, sizeof path, "%s/%s", dir, name), 0);
	ck_assert_int_ge(cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err), 0);
	return text;
}

static void set_up(void)
{
	char sub[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_gt(snprintf(sub, sizeof sub, "%s/d", dir), 0);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	make_file("a");
	make_file("d/b");
	make_file("d/c");
}

static void tear_down(void)
{
	char command[64];

	ck_assert_int_gt(snprintf(command, sizeof command, "rm -r %s", dir), 0);
	ck_assert_int_eq(system(command), 0);
}

static int write_rows(bool ip6, struct cx_err *err)
{
	return cx_sysctl_write(dir, rows, CX_LEN(rows), ip6, err);
}

START_TEST(rows_are_for_one_network_or_the_other)
{
	struct cx_err err = { 0 };

	ck_assert_int_eq(write_rows(true, &err), 0);
	ck_assert_str_eq(content("a"), "1");
	ck_assert_str_eq(content("d/b"), "2");
	ck_assert_str_eq(content("d/c"), "");
	make_file("d/b");
	ck_assert_int_eq(write_rows(false, &err), 0);
	ck_assert_str_eq(content("d/b"), "");
	ck_assert_str_eq(content("d/c"), "3");
}
END_TEST

START_TEST(only_what_is_for_no_ipv6_may_be_missing)
{
	struct cx_err err = { 0 };
	char path[64];

	ck_assert_int_gt(snprintf(path, sizeof path, "%s/d/b", dir), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(write_rows(true, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, path));
	path[strlen(path) - 1] = 'c';
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(write_rows(false, &err), 0);
	ck_assert_int_gt(snprintf(path, sizeof path, "%s/a", dir), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(write_rows(false, &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/sysctl");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, rows_are_for_one_network_or_the_other);
	tcase_add_test(tc, only_what_is_for_no_ipv6_may_be_missing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
