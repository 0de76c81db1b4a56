/* SPDX-License-Identifier: Apache-2.0 */
/* path, fd and statefile: everything of base that touches a directory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check_main.h"

#include "base/fd.h"
#include "base/path.h"
#include "base/statefile.h"

static char top[] = "/tmp/caisson-files-XXXXXX";
static int dir = -EBADF;
static struct cx_err err;

static void setup(void)
{
	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
	ck_assert_int_eq(mkdirat(dir, "in", 0755), 0);
	ck_assert_int_eq(symlinkat("/etc/passwd", dir, "in/abs"), 0);
	ck_assert_int_eq(symlinkat("../../etc/passwd", dir, "in/up"), 0);
	ck_assert_int_eq(symlinkat("real", dir, "in/near"), 0);
	ck_assert_int_eq(symlinkat("/proc/self/root", dir, "in/magic"), 0);
	ck_assert_int_ge(cx_statefile_save(dir, "outside", "x", 1, &err), 0);
}

static void teardown(void)
{
	static const char *const names[] = { "in/abs",	 "in/up",	 "in/near",
					     "in/magic", "in/real",	 "in/new",
					     "in/state", "in/state.new", "outside" };

	for (size_t i = 0; i < CX_LEN(names); i++)
		(void)unlinkat(dir, names[i], 0);
	(void)unlinkat(dir, "in", AT_REMOVEDIR);
	cx_close(&dir);
	ck_assert_int_eq(rmdir(top), 0);
}

/* Which of the three ways of opening may follow which path; -1: some error, kind given. */
static const struct {
	const char *path;
	int (*open)(int, const char *, int, mode_t, struct cx_err *);
	int opens;
	int errnum;
} paths[] = {
	{ "real", cx_open_beneath, 1, 0 },
	{ "near", cx_open_beneath, 1, 0 },
	{ "abs", cx_open_beneath, 0, EPERM },
	{ "up", cx_open_beneath, 0, EPERM },
	{ "../outside", cx_open_beneath, 0, EPERM },
	{ "/etc/passwd", cx_open_beneath, 0, EPERM },
	{ "magic/etc/passwd", cx_open_beneath, 0, EPERM },
	{ "real", cx_open_within, 1, 0 },
	{ "near", cx_open_within, 1, 0 },
	{ "abs", cx_open_within, 0, EPERM },
	{ "up", cx_open_within, 0, EPERM },
	{ "../outside", cx_open_within, 0, EPERM },
	{ "magic/etc/passwd", cx_open_within, 0, EPERM },
	{ "real", cx_open_in_root, 1, 0 },
	{ "/real", cx_open_in_root, 1, 0 },
	{ "abs", cx_open_in_root, 0, ENOENT },
	{ "up", cx_open_in_root, 0, ENOENT },
	{ "../outside", cx_open_in_root, 0, ENOENT },
	{ "real", cx_open_no_links, 1, 0 },
	{ "near", cx_open_no_links, 0, ELOOP },
	{ "abs", cx_open_no_links, 0, ELOOP },
	{ "../outside", cx_open_no_links, 0, EPERM },
};

START_TEST(paths_stay_inside)
{
	cx_autofd int sub = -EBADF, fd = -EBADF;

	sub = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(cx_statefile_save(sub, "real", "r", 1, &err), 0);
	fd = paths[_i].open(sub, paths[_i].path, O_RDONLY, 0, &err);
	ck_assert_msg((fd >= 0) == paths[_i].opens, "row %d '%s': %d %s", _i, paths[_i].path, fd,
		      err.msg);
	if (fd < 0)
		ck_assert_int_eq(err.errnum, paths[_i].errnum);
	else
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}
END_TEST

/* What is mounted below is another tree. */
START_TEST(mounts_are_not_entered)
{
	cx_autofd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_lt(cx_open_beneath(root, "proc/version", O_RDONLY, 0, &err), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
}
END_TEST

START_TEST(state_is_replaced_whole)
{
	cx_autofd int sub = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char got[8];
	struct stat st;

	ck_assert_int_eq(cx_statefile_save(sub, "state", "one", 3, &err), 0);
	ck_assert_int_eq(cx_statefile_save(sub, "state", "three", 5, &err), 0);
	ck_assert_int_eq((int)cx_read_small_file(sub, "state", got, sizeof got, &err), 5);
	ck_assert_mem_eq(got, "three", 5);
	ck_assert_int_lt((int)cx_read_small_file(sub, "state", got, 4, &err),
			 0); /* longer than asked */
	ck_assert_int_eq(fstatat(sub, "state", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(symlinkat("../outside", sub, "state.new"), 0);
	ck_assert_int_lt(cx_statefile_save(sub, "state", "evil", 4, &err), 0);
	ck_assert_int_eq((int)cx_read_small_file(dir, "outside", got, sizeof got, &err), 1);
	ck_assert_int_eq(got[0], 'x');
}
END_TEST

START_TEST(small_file_is_never_cut)
{
	char buf[4];

	ck_assert_int_eq(cx_statefile_save(dir, "outside", "ab", 2, &err), 0);
	ck_assert_int_eq((int)cx_read_small_file(dir, "outside", buf, sizeof buf, &err), 2);
	ck_assert_str_eq(buf, "ab");
	ck_assert_int_eq(cx_statefile_save(dir, "outside", "abc", 3, &err), 0);
	ck_assert_int_lt((int)cx_read_small_file(dir, "outside", buf, sizeof buf, &err), 0);
}
END_TEST

START_TEST(mkdir_p_makes_parents)
{
	char path[64];
	cx_autofd int fd = -EBADF;

	(void)snprintf(path, sizeof path, "%s/in/new/deep", top);
	fd = cx_mkdir_p(path, 0700, &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	cx_close(&fd);
	fd = cx_mkdir_p(path, 0700, &err);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(symlinkat("new", dir, "in/link"), 0);
	(void)snprintf(path, sizeof path, "%s//in/link/deep/", top);
	cx_close(&fd);
	fd = cx_mkdir_p(path, 0700, &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_eq(unlinkat(dir, "in/link", 0), 0);
	ck_assert_int_eq(unlinkat(dir, "in/new/deep", AT_REMOVEDIR), 0);
	ck_assert_int_eq(unlinkat(dir, "in/new", AT_REMOVEDIR), 0);
}
END_TEST

START_TEST(mkdir_p_leaves_descriptors_alone)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
	ck_assert_int_lt(cx_mkdir_p(path, 0700, &err), 0);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/in/made", dir);
	ck_assert_int_lt(cx_mkdir_p(path, 0700, &err), 0);
	ck_assert_int_lt(faccessat(dir, "in/made", F_OK, 0), 0);
	(void)snprintf(path, sizeof path, "/proc/self/root/%s/in/made", top);
	ck_assert_int_lt(cx_mkdir_p(path, 0700, &err), 0);
	ck_assert_int_lt(faccessat(dir, "in/made", F_OK, 0), 0);
	ck_assert_int_lt(cx_mkdir_p("", 0700, &err), 0);
}
END_TEST

/* The child gets exactly what was given, in order, though source and target overlap. */
START_TEST(descriptors_are_arranged)
{
	int p[2], fds[3], status;
	char c = 0;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fds[0] = p[1];
	fds[1] = p[0];
	fds[2] = p[1];
	if (fork() == 0) {
		if (cx_fds_arrange(fds, 3, 3, &err) < 0 || write(3, "a", 1) != 1 ||
		    read(4, &c, 1) != 1 || c != 'a' || fcntl(5, F_GETFD) != 0 ||
		    (fcntl(6, F_GETFD) >= 0 && (fcntl(6, F_GETFD) & FD_CLOEXEC) == 0))
			_exit(1);
		_exit(0);
	}
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(status, 0);
	close(p[0]);
	close(p[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/files");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, paths_stay_inside, 0, (int)CX_LEN(paths));
	tcase_add_test(tc, mounts_are_not_entered);
	tcase_add_test(tc, state_is_replaced_whole);
	tcase_add_test(tc, small_file_is_never_cut);
	tcase_add_test(tc, mkdir_p_makes_parents);
	tcase_add_test(tc, mkdir_p_leaves_descriptors_alone);
	tcase_add_test(tc, descriptors_are_arranged);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
