/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/users.h"
#include "base/fd.h"
#include "check_main.h"

static char dir[] = "/tmp/cx-users-XXXXXX";
static int etc;
static struct cx_err err;

static void put(const char *name, const char *text, size_t len)
{
	int fd = openat(etc, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, text, len, &err), 0);
	ck_assert_int_eq(close(fd), 0);
}

static void set_up(void)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
				     "app:x:1000:1001:An App:/home/app:/bin/sh\n"
				     "\n"
				     "::::::\n"
				     "1000x:x:5:5::/x:\n"
				     "twin:x:1000:7::/twin:\n"
				     "1001:x:77:78::/number-as-name:\n"
				     "over:x:70000:1::/:\n"
				     "minus:x:-1:1::/:\n"
				     "wrap:x:4294967296:0::/:\n"
				     "wrapgid:x:1:4294967296::/:\n"
				     "empty:x:::::\n"
				     "nohome:x:9:9\n"
				     "relative:x:10:10::home:\n"
				     "last:x:65535:65535::/last:/bin/sh";
	static const char group[] = "root:x:0:\napp:x:1001:\nwheel:x:10:other,app\nodd:x:zz:app\n"
				    "notme:x:11:app2,xapp\nfar:x:65536:app\nvideo:x:44:app,root\n";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	etc = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(etc, 0);
	put("passwd", passwd, sizeof passwd - 1);
	put("group", group, sizeof group - 1);
}

static void tear_down(void)
{
	(void)unlinkat(etc, "passwd", 0);
	(void)unlinkat(etc, "group", 0);
	(void)close(etc);
	ck_assert_int_eq(rmdir(dir), 0);
	strcpy(dir, "/tmp/cx-users-XXXXXX");
}

static const struct {
	const char *spec;
	int result; /* 0, or the kind of refusal negated */
	uid_t uid;
	gid_t gid;
	size_t ngroups;
	const char *home;
} specs[] = {
	{ "", 0, 0, 0, 1, "/root" },
	{ "root", 0, 0, 0, 1, "/root" },
	{ "0", 0, 0, 0, 1, "/root" },
	{ "app", 0, 1000, 1001, 2, "/home/app" },
	{ "1000", 0, 1000, 1001, 2, "/home/app" },
	{ "1001", 0, 77, 78, 0, "/number-as-name" }, /* a name goes before a number */
	{ "app:", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "app:wheel", 0, 1000, 10, 0, "/home/app" },
	{ "app:10", 0, 1000, 10, 0, "/home/app" },
	{ "app:12345", 0, 1000, 12345, 0, "/home/app" },
	{ ":wheel", 0, 0, 10, 0, "/root" },
	{ "4242", 0, 4242, 0, 0, "/" },
	{ "4242:4243", 0, 4242, 4243, 0, "/" },
	{ "last", 0, 65535, 65535, 0, "/last" },
	{ "65535", 0, 65535, 65535, 0, "/last" },
	{ "nohome", 0, 9, 9, 0, "/" },
	{ "relative", 0, 10, 10, 0, "/" },
	{ "65536", -CX_INVALID, 0, 0, 0, NULL },
	{ "4294967295", -CX_INVALID, 0, 0, 0, NULL },
	{ "4294967296", -CX_INVALID, 0, 0, 0, NULL },
	{ "18446744073709551616", -CX_INVALID, 0, 0, 0, NULL },
	{ "99999999999999999999999", -CX_INVALID, 0, 0, 0, NULL },
	{ "app:65536", -CX_INVALID, 0, 0, 0, NULL },
	{ "app:4294967296", -CX_INVALID, 0, 0, 0, NULL },
	{ "app:nogroup", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "app:odd", -CX_INVALID, 0, 0, 0, NULL },
	{ "nobody", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "-1", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "+0", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ " 0", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "0x0", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "1000 ", -CX_NOT_FOUND, 0, 0, 0, NULL },
	{ "over", -CX_INVALID, 0, 0, 0, NULL },
	{ "minus", -CX_INVALID, 0, 0, 0, NULL },
	{ "wrap", -CX_INVALID, 0, 0, 0, NULL },
	{ "wrapgid", -CX_INVALID, 0, 0, 0, NULL },
	{ "empty", -CX_INVALID, 0, 0, 0, NULL },
	{ "app:app:app", -CX_NOT_FOUND, 0, 0, 0, NULL },
};

START_TEST(a_spec_means)
{
	struct cx_user user;
	int r = cx_user_resolve(etc, specs[_i].spec, &user, &err);

	if (specs[_i].result != 0) {
		ck_assert_msg(r < 0, "'%s' became %u:%u", specs[_i].spec, user.uid, user.gid);
		ck_assert_int_eq(-err.kind, specs[_i].result);
		return;
	}
	ck_assert_msg(r == 0, "'%s': %s", specs[_i].spec, err.msg);
	ck_assert_uint_eq(user.uid, specs[_i].uid);
	ck_assert_uint_eq(user.gid, specs[_i].gid);
	ck_assert_uint_eq(user.ngroups, specs[_i].ngroups);
	ck_assert_str_eq(user.home, specs[_i].home);
}
END_TEST

START_TEST(missing_files_are_empty)
{
	struct cx_user user;

	ck_assert_int_eq(unlinkat(etc, "passwd", 0) | unlinkat(etc, "group", 0), 0);
	ck_assert_int_eq(cx_user_resolve(etc, "", &user, &err), 0);
	ck_assert_uint_eq(user.uid, 0);
	ck_assert_int_eq(cx_user_resolve(etc, "5:6", &user, &err), 0);
	ck_assert_int_lt(cx_user_resolve(etc, "app", &user, &err), 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
	ck_assert_int_lt(cx_user_resolve(-EBADF, "app", &user, &err), 0);
}
END_TEST

/* _i: what stands in passwd's place. None is read, none is waited for. */
START_TEST(only_a_small_regular_file_is_read)
{
	struct cx_user user;

	ck_assert_int_eq(unlinkat(etc, "passwd", 0), 0);
	if (_i == 0)
		ck_assert_int_eq(mkfifoat(etc, "passwd", 0644), 0);
	else if (_i == 1)
		ck_assert_int_eq(symlinkat("/dev/zero", etc, "passwd"), 0);
	else if (_i == 2)
		ck_assert_int_eq(symlinkat("passwd", etc, "passwd"), 0);
	else
		put("passwd", "", 0);
	if (_i == 3) {
		int fd = openat(etc, "passwd", O_WRONLY | O_CLOEXEC);

		ck_assert_int_eq(ftruncate(fd, CX_USERS_FILE_MAX + 1), 0);
		ck_assert_int_eq(close(fd), 0);
	}
	ck_assert_int_lt(cx_user_resolve(etc, "root", &user, &err), 0);
}
END_TEST

START_TEST(content_does_no_harm)
{
	char *text = malloc(CX_USERS_FILE_MAX);
	struct cx_user user;
	unsigned seed = (unsigned)_i;

	for (size_t i = 0; i < CX_USERS_FILE_MAX; i++)
		text[i] = "\0:\n0a,1"[(unsigned)rand_r(&seed) % 7];
	put("passwd", text, _i == 0 ? CX_USERS_FILE_MAX : (size_t)rand_r(&seed) % 5000);
	put("group", text, (size_t)rand_r(&seed) % 5000);
	(void)!cx_user_resolve(etc, "a:a", &user, &err);
	(void)!cx_user_resolve(etc, "0", &user, &err);
	free(text);
}
END_TEST

START_TEST(too_many_groups_are_refused)
{
	char text[8192];
	size_t len = 0;
	struct cx_user user;

	for (int i = 0; i <= CX_USERS_GROUPS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "g%d:x:%d:app\n", i, i);
	put("group", text, len);
	ck_assert_int_lt(cx_user_resolve(etc, "app", &user, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_eq(cx_user_resolve(etc, "app:g5", &user, &err), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("agent/users");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, a_spec_means, 0, CX_LEN(specs));
	tcase_add_test(tc, missing_files_are_empty);
	tcase_add_loop_test(tc, only_a_small_regular_file_is_read, 0, 4);
	tcase_add_loop_test(tc, content_does_no_harm, 0, 20);
	tcase_add_test(tc, too_many_groups_are_refused);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
