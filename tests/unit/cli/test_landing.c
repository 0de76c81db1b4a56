/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "check_main.h"
#include "cli/landing.h"
#include "cli/moving.h"
#include "cli/remote.h"

static char top[] = "/tmp/test-landing-XXXXXX";
static int dir;
static struct cx_err err;

static void set_up(void)
{
	strcpy(top + strlen(top) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
}

static void tear_down(void)
{
	static const char *const made[] = { "a", "link", "outside", "d/x" };

	for (size_t i = 0; i < CX_LEN(made); i++)
		(void)unlinkat(dir, made[i], 0);
	(void)unlinkat(dir, "d", AT_REMOVEDIR);
	(void)close(dir);
	ck_assert_int_eq(rmdir(top), 0); /* nothing else is left */
}

static void expect(const char *name, const char *content)
{
	char got[64] = "";

	ck_assert_int_ge(cx_read_small_file(dir, name, got, sizeof got, &err), 0);
	ck_assert_str_eq(got, content);
}

static void put(const char *name, const char *content)
{
	CX_AUTO(cx_landing_free) struct cx_landing l = { .fd = -EBADF };

	ck_assert_int_eq(cx_landing_open(&l, dir, name, 0640, &err), 0);
	ck_assert_int_eq(cx_landing_take(&l, content, strlen(content), &err), 0);
	ck_assert_int_eq(cx_landing_finish(&l, &err), 0);
}

START_TEST(a_file_takes_its_place_whole)
{
	CX_AUTO(cx_landing_free) struct cx_landing half = { .fd = -EBADF };
	struct stat st;

	(void)umask(022);
	put("a", "old");
	ck_assert_int_eq(cx_landing_open(&half, dir, "a", 0600, &err), 0);
	ck_assert_int_eq(cx_landing_take(&half, "new", 3, &err), 0);
	expect("a", "old");
	cx_landing_free(&half);
	put("a", "newer");
	expect("a", "newer");
	ck_assert_int_eq(fstatat(dir, "a", &st, 0), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
}
END_TEST

START_TEST(no_link_is_followed)
{
	put("outside", "mine");
	ck_assert_int_eq(cx_landing_link(dir, "link", "outside", &err), 0);
	put("link", "theirs");
	expect("outside", "mine");
	expect("link", "theirs");
	ck_assert_int_eq(cx_landing_link(dir, "link", "/tmp", &err), 0);
	ck_assert_int_lt(cx_landing_dir(dir, "link", 0755, &err), 0);
	ck_assert_int_lt(cx_landing_dir(dir, "outside", 0755, &err), 0);
}
END_TEST

static const char *const bad_names[] = {
	"", ".", "..", "/", "/etc", "a/b", "../a", "a\xef\xbf\xbd"
};

START_TEST(a_name_is_one_component)
{
	struct cx_landing l = { .fd = -EBADF };
	const char *name = bad_names[_i];

	ck_assert_int_lt(cx_landing_check(name, &err), 0);
	ck_assert_int_lt(cx_landing_open(&l, dir, name, 0644, &err), 0);
	ck_assert_int_lt(cx_landing_dir(dir, name, 0755, &err), 0);
	ck_assert_int_lt(cx_landing_link(dir, name, "x", &err), 0);
}
END_TEST

START_TEST(directories_are_entered)
{
	int sub = cx_landing_dir(dir, "d", 0500, &err), again;
	CX_AUTO(cx_landing_free) struct cx_landing l = { .fd = -EBADF };
	struct stat st;

	ck_assert_int_ge(sub, 0);
	again = cx_landing_dir(dir, "d", 0755, &err);
	ck_assert_int_ge(again, 0);
	ck_assert_int_eq(fstat(sub, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(cx_landing_open(&l, sub, "x", 0644, &err), 0);
	ck_assert_int_eq(cx_landing_finish(&l, &err), 0);
	expect("d/x", "");
	(void)close(sub);
	(void)close(again);
}
END_TEST

static const struct {
	const char *path, *base; /* NULL: has none */
} bases[] = {
	{ "a", "a" },
	{ "/a", "a" },
	{ "/a/b/c", "c" },
	{ "a//b//", "b" },
	{ "a b/\xc3\xa4", "\xc3\xa4" },
	{ "/", NULL },
	{ "", NULL },
	{ ".", NULL },
	{ "a/..", NULL },
	{ "./", NULL },
};

START_TEST(names_are_taken_over)
{
	char base[256];
	int r = cx_remote_base(bases[_i].path, base, &err);

	ck_assert_int_eq(r == 0, bases[_i].base != NULL);
	if (r == 0)
		ck_assert_str_eq(base, bases[_i].base);
}
END_TEST

START_TEST(paths_are_joined_and_bounded)
{
	char long_name[CX_REMOTE_PATH_MAX + 1];
	char *path = NULL;

	ck_assert_int_eq(cx_remote_join("/a", "b", &path, &err), 0);
	ck_assert_str_eq(path, "/a/b");
	free(path);
	ck_assert_int_eq(cx_remote_join("/a/", "b", &path, &err), 0);
	ck_assert_str_eq(path, "/a/b");
	free(path);
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	ck_assert_int_lt(cx_remote_join("/a", long_name, &path, &err), 0);
}
END_TEST

START_TEST(a_sum_is_that_of_the_bytes)
{
	struct cx_moving m = { .name = "x" };
	char hex[CX_MOVING_HEX + 1];

	cx_moving_begin(&m);
	cx_moving_add(&m, "a", 1);
	cx_moving_add(&m, "bc", 2);
	cx_moving_clear(&m);
	cx_moving_sum(&m, hex);
	ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli/landing");
	TCase *tc = tcase_create("landing");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_file_takes_its_place_whole);
	tcase_add_test(tc, no_link_is_followed);
	tcase_add_test(tc, directories_are_entered);
	tcase_add_loop_test(tc, a_name_is_one_component, 0, CX_LEN(bad_names));
	tcase_add_loop_test(tc, names_are_taken_over, 0, CX_LEN(bases));
	tcase_add_test(tc, paths_are_joined_and_bounded);
	tcase_add_test(tc, a_sum_is_that_of_the_bytes);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
