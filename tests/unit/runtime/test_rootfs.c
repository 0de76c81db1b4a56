/* SPDX-License-Identifier: Apache-2.0 */
/* Layers, overlay and /dev on real EROFS images, made by mkfs.erofs of erofs-utils. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "check_main.h"

#include "base/fd.h"
#include "base/path.h"
#include "policy/policy.h"
#include "runtime/idmap.h"
#include "runtime/rootfs.h"

enum { BASE = 1000013824 };

static char top[] = "/tmp/caisson-rootfs-XXXXXX";
static struct cx_err err;
static int layers[2] = { -EBADF, -EBADF }, userns = -EBADF;

static void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/*
 * On a tmpfs the kernel wants a loop device, on disk it takes the file as it is: one layer of each
 * kind, so both ways are tested wherever the kernel has both.
 */
static int open_image(const char *name, bool on_disk)
{
	cx_autofd int from = open(name, O_RDONLY | O_CLOEXEC), to = -EBADF;
	char copy[] = "/var/tmp/caisson-rootfs-XXXXXX";
	struct stat st;

	ck_assert_int_eq(fstat(from, &st), 0);
	if (!on_disk)
		return cx_take_fd(&from);
	to = mkostemp(copy, O_CLOEXEC);
	ck_assert_int_ge(to, 0);
	ck_assert_int_eq(unlink(copy), 0);
	ck_assert_int_eq(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	return cx_take_fd(&to);
}

static void setup(void)
{
	ck_assert_int_eq(cx_mounts_unshare(&err), 0);
	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(mount("tmpfs", top, "tmpfs", 0, NULL), 0);
	if (setxattr(top, "user.test", "", 0, 0) < 0) /* a tmpfs before 6.6: then on disk */
		ck_assert_int_eq(umount(top), 0);
	ck_assert_int_eq(chdir(top), 0);
	shell("mkdir -p a/many; (cd a/many; seq 0 126 | xargs mkdir);"
	      "mkdir -p a/etc a/opq a/dir b/opq m0 m1 at upper work; echo low > a/etc/passwd;"
	      "echo gone > a/gone; echo x > a/opq/hidden; echo low > a/both; echo high > b/both;"
	      "chown 1000:1000 a/dir; cp /bin/true a/suid; chmod 4755 a/suid; mknod b/gone c 0 0;"
	      "setfattr -n user.overlay.opaque -v y b/opq 2>/dev/null || true;"
	      "mkfs.erofs -x1 a.img a >/dev/null && mkfs.erofs -x1 b.img b >/dev/null");
	for (int i = 0; i < 2; i++) {
		cx_autofd int file = open_image(i == 0 ? "a.img" : "b.img", i == 0);

		layers[i] = cx_layer_mount(file, i == 0 ? "m0" : "m1", &err);
		ck_assert_msg(layers[i] >= 0, "%s", err.msg);
	}
	userns = cx_idmap_userns(BASE, &err);
	ck_assert_msg(userns >= 0, "%s", err.msg);
	ck_assert_int_eq(chown("upper", BASE, BASE), 0);
}

static void teardown(void)
{
	char command[64];

	(void)umount2("m0", MNT_DETACH);
	(void)umount2("m1", MNT_DETACH);
	ck_assert_int_eq(chdir("/"), 0);
	(void)umount2(top, MNT_DETACH);
	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	shell(command);
}

/* By name, as a plain directory; a kernel before 6.15 mounts at "at" for a moment. */
static struct cx_rootfs_writable writable_at(const char *dir)
{
	static char path[64];
	struct cx_rootfs_writable w = { .dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
					.at = path };

	ck_assert_int_ge(w.dir, 0);
	(void)snprintf(path, sizeof path, "%s/at", top);
	return w;
}

static int make_of(const int *these, unsigned n, const struct cx_rootfs_writable *w)
{
	CX_AUTO(cx_rootfs_drop) struct cx_rootfs_clones clones = { .n = 0 };

	return cx_rootfs_make(these, n, userns, w, &clones, &err);
}

static int make_root(void)
{
	struct cx_rootfs_writable w = writable_at(".");
	int fd = make_of(layers, 2, &w);

	ck_assert_msg(fd >= 0, "%s", err.msg);
	cx_close(&w.dir);
	return fd;
}

/* A sandbox reads the options in its mountinfo: they name no directory of the host. */
START_TEST(options_tell_no_path)
{
	cx_autofd int root = make_root();
	char text[8192];
	FILE *mounts;
	bool seen = false;

	ck_assert_int_eq(move_mount(root, "", AT_FDCWD, "work", MOVE_MOUNT_F_EMPTY_PATH), 0);
	mounts = fopen("/proc/self/mountinfo", "re");
	ck_assert_ptr_nonnull(mounts);
	while (fgets(text, sizeof text, mounts) != NULL) {
		const char *options = strstr(text, " - overlay ");

		if (options == NULL || strstr(text, "upperdir=") == NULL ||
		    strstr(text, top) == NULL)
			continue;
		seen = true;
		ck_assert_ptr_null(strstr(options, top));
	}
	(void)fclose(mounts);
	ck_assert_int_eq(umount2("work", MNT_DETACH), 0);
	ck_assert(seen);
}
END_TEST

START_TEST(layers_stack_and_ids_shift)
{
	cx_autofd int root = make_root();
	char text[16];
	struct stat st;

	ck_assert_int_gt((int)cx_read_small_file(root, "both", text, sizeof text, &err), 0);
	ck_assert_str_eq(text, "high\n");
	ck_assert_int_lt(fstatat(root, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	/* The image is built on a tmpfs, which takes such attributes since Linux 6.6. */
	if (getxattr("b/opq", "user.overlay.opaque", text, sizeof text) > 0)
		ck_assert_int_lt(fstatat(root, "opq/hidden", &st, 0), 0);
	ck_assert_int_eq(fstatat(root, "etc/passwd", &st, 0), 0);
	ck_assert_uint_eq(st.st_uid, BASE);
	ck_assert_int_eq(fstatat(root, "dir", &st, 0), 0);
	ck_assert_uint_eq(st.st_uid, BASE + 1000);
	ck_assert_uint_eq(st.st_gid, BASE + 1000);
	/* Nothing stays attached where older kernels need it for a moment. */
	ck_assert_int_eq(umount2("work", MNT_DETACH), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static unsigned mounts_below(const char *dir)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char text[8192];
	unsigned n = 0;

	ck_assert_ptr_nonnull(mounts);
	while (fgets(text, sizeof text, mounts) != NULL)
		n += strstr(text, dir) != NULL;
	(void)fclose(mounts);
	return n;
}

/* Nothing stays that was attached for a moment. */
static int make_view(const int *of, unsigned n)
{
	const unsigned before = mounts_below(top);
	char at[64];
	int fd;

	(void)snprintf(at, sizeof at, "%s/work", top);
	fd = cx_rootfs_view(of, n, userns, at, &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_eq(umount2("work", MNT_DETACH), -1);
	ck_assert_uint_eq(mounts_below(top), before);
	return fd;
}

static void expect_inert(int tree, unsigned long more)
{
	const unsigned long want = ST_RDONLY | ST_NODEV | ST_NOSUID | more;
	struct statvfs fs;

	ck_assert_int_eq(fstatvfs(tree, &fs), 0);
	ck_assert_uint_eq(fs.f_flag & want, want);
	ck_assert_int_lt(openat(tree, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), 0);
	ck_assert_int_eq(errno, EROFS);
}

/* What a sandbox would see, as long as somebody reads it. */
START_TEST(view_of_layers)
{
	cx_autofd int view = make_view(layers, 2);
	char text[16];
	struct stat st;

	expect_inert(view, ST_NOEXEC);
	ck_assert_int_gt((int)cx_read_small_file(view, "both", text, sizeof text, &err), 0);
	ck_assert_str_eq(text, "high\n");
	ck_assert_int_lt(fstatat(view, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_int_eq(fstatat(view, "dir", &st, 0), 0);
	ck_assert_uint_eq(st.st_uid, BASE + 1000);
}
END_TEST

/* As an image has it that does the same thing again. */
START_TEST(layer_that_comes_twice)
{
	const int again[] = { layers[0], layers[1], layers[0] };
	cx_autofd int view = make_view(again, 3);
	char text[16];
	struct stat st;

	ck_assert_int_gt((int)cx_read_small_file(view, "both", text, sizeof text, &err), 0);
	ck_assert_str_eq(text, "low\n");
	ck_assert_int_eq(fstatat(view, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_int_eq(fstatat(view, "opq", &st, 0), 0); /* of the layer between them */
}
END_TEST

/* A whiteout in the lowest layer hides nothing, and is nothing. */
START_TEST(view_of_one_layer)
{
	cx_autofd int view = make_view(&layers[1], 1);
	char text[16];
	struct stat st;

	expect_inert(view, ST_NOEXEC);
	ck_assert_int_gt((int)cx_read_small_file(view, "both", text, sizeof text, &err), 0);
	ck_assert_int_lt(fstatat(view, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
}
END_TEST

START_TEST(upper_as_it_is)
{
	struct cx_rootfs_writable w = writable_at(".");
	cx_autofd int upper = -EBADF, none = -EBADF;
	struct stat st;

	shell("echo x > upper/f; mknod upper/gone c 0 0; mkdir upper/m; mount -t tmpfs none "
	      "upper/m;"
	      "touch upper/m/inside");
	upper = cx_rootfs_upper(&w, &err);
	ck_assert_msg(upper >= 0, "%s", err.msg);
	expect_inert(upper, ST_NOEXEC);
	ck_assert_int_eq(fstatat(upper, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_int_lt(fstatat(upper, "m/inside", &st, AT_SYMLINK_NOFOLLOW), 0);
	shell("touch upper/still-writable; umount upper/m");
	cx_close(&w.dir);
	none = open("a", O_PATH | O_DIRECTORY | O_CLOEXEC);
	w.dir = none;
	ck_assert_int_lt(cx_rootfs_upper(&w, &err), 0);
}
END_TEST

START_TEST(as_many_layers_as_an_image_may_have)
{
	struct cx_rootfs_writable w = writable_at(".");
	cx_autofd int root = -EBADF;
	char name[16];
	int many[127];

	for (size_t i = 0; i < CX_LEN(many); i++) { /* no two may be the same */
		(void)snprintf(name, sizeof name, "m0/many/%zu", i);
		many[i] = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(many[i], 0);
	}
	root = make_of(many, CX_LEN(many), &w);
	ck_assert_msg(root >= 0, "%s", err.msg);
	cx_close(&root);
	root = cx_rootfs_view(many, CX_LEN(many), userns, w.at, &err);
	ck_assert_msg(root >= 0, "%s", err.msg);
	for (size_t i = 0; i < CX_LEN(many); i++)
		close(many[i]);
	cx_close(&w.dir);
}
END_TEST

START_TEST(writes_land_in_the_upper_directory)
{
	cx_autofd int root = make_root(), fd = -EBADF;
	struct stat st;

	fd = openat(root, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(stat("upper/new", &st), 0);
	ck_assert_int_eq(unlinkat(root, "both", 0), 0);
	ck_assert_int_eq(stat("a/both", &st), 0);
	ck_assert_int_lt(fstatat(root, "both", &st, 0), 0);
}
END_TEST

/* Of a file system of the sandbox's own, which is attached nowhere before and after. */
START_TEST(writes_land_in_a_detached_mount)
{
	cx_autofd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), mnt = -EBADF, root = -EBADF;
	struct cx_rootfs_writable w = writable_at(".");
	char path[64];
	struct stat st;

	ck_assert_int_eq(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	ck_assert_int_ge(mnt, 0);
	ck_assert_int_eq(mkdirat(mnt, "upper", 0755), 0);
	ck_assert_int_eq(mkdirat(mnt, "work", 0700), 0);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/work", mnt);
	if (setxattr(path, "user.x", "", 0, 0) < 0)
		return; /* no overlay over this tmpfs: before 6.6 */
	cx_close(&w.dir);
	w.dir = mnt;
	w.is_mount = true;
	root = make_of(layers, 2, &w);
	ck_assert_msg(root >= 0, "%s", err.msg);
	ck_assert_int_eq(mkdirat(root, "new", 0700), 0);
	ck_assert_int_eq(fstatat(mnt, "upper/new", &st, 0), 0);
	ck_assert_int_lt(access("at/upper", F_OK), 0);
}
END_TEST

START_TEST(devices_and_set_user_id_are_inert)
{
	cx_autofd int root = make_root();
	struct statfs fs;

	ck_assert_int_eq(mknodat(root, "zero", S_IFCHR | 0666, makedev(1, 5)), 0);
	ck_assert_int_lt(openat(root, "zero", O_RDONLY | O_CLOEXEC), 0);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(fstatfs(root, &fs), 0);
	ck_assert_int_ne(fs.f_flags & ST_NOSUID, 0);
	ck_assert_int_ne(fs.f_flags & ST_NODEV, 0);
	ck_assert_int_eq(fstatfs(layers[0], &fs), 0);
	ck_assert_int_ne(fs.f_flags & ST_RDONLY, 0);
	ck_assert_int_ne(fs.f_flags & ST_NOSUID, 0);
	ck_assert_int_ne(fs.f_flags & ST_NODEV, 0);
}
END_TEST

START_TEST(no_layer_or_too_many_are_refused)
{
	struct cx_rootfs_writable w = writable_at(".");

	ck_assert_int_lt(make_of(layers, 0, &w), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_lt(make_of(layers, 128, &w), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	cx_close(&w.dir);
}
END_TEST

START_TEST(what_is_no_layer_is_refused)
{
	cx_autofd int file = open("/bin/true", O_RDONLY | O_CLOEXEC);

	ck_assert_int_lt(cx_layer_mount(file, "m0", &err), 0);
}
END_TEST

START_TEST(dev_holds_the_policy_and_nothing_else)
{
	cx_autofd int dev = cx_devfs_make(BASE, &err), null = -EBADF;
	struct statfs fs;
	struct stat st;
	size_t n = 0;

	ck_assert_msg(dev >= 0, "%s", err.msg);
	for (size_t i = 0; i < cx_policy_ndevices; i++) {
		if (!cx_policy_devices[i].node)
			continue;
		ck_assert_int_eq(fstatat(dev, cx_policy_devices[i].name, &st, 0), 0);
		ck_assert_uint_eq(st.st_mode, S_IFCHR | 0666);
		ck_assert_uint_eq(major(st.st_rdev), cx_policy_devices[i].major);
		ck_assert_int_eq((int)minor(st.st_rdev), cx_policy_devices[i].minor);
		ck_assert_uint_eq(st.st_uid, BASE);
	}
	ck_assert_int_eq(fstat(dev, &st), 0);
	ck_assert_uint_eq(st.st_uid, BASE);
	n = (size_t)st.st_nlink - 2;
	ck_assert_uint_eq(n, cx_policy_ndev_dirs);
	ck_assert_int_eq(fstatfs(dev, &fs), 0);
	ck_assert_int_ne(fs.f_flags & ST_NOSUID, 0);
	ck_assert_int_ne(fs.f_flags & ST_NOEXEC, 0);
	ck_assert_uint_le((uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize, 64 << 10);
	ck_assert_uint_le(fs.f_files, 64);
	null = openat(dev, "null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(null, 0);
}
END_TEST

/* From shared mounts, as systemd leaves them; in a child, whose namespace goes with it. */
START_TEST(unshared_mounts_are_private)
{
	static char mounts[1 << 18];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0 ||
		    cx_mounts_unshare(&err) < 0 ||
		    cx_read_small_file(AT_FDCWD, "/proc/self/mountinfo", mounts, sizeof mounts,
				       &err) < 0)
			_exit(2);
		_exit(strstr(mounts, "shared:") != NULL || strstr(mounts, "master:") != NULL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* What keeps a namespace alive is not copied along, or that would live as long as we. */
START_TEST(kept_namespaces_are_left_behind)
{
	static char mounts[1 << 18];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0 ||
		    mknod("/mnt/a kept one", S_IFREG | 0600, 0) < 0 ||
		    mount("/proc/self/ns/net", "/mnt/a kept one", NULL, MS_BIND, NULL) < 0 ||
		    cx_mounts_unshare(&err) < 0 ||
		    cx_read_small_file(AT_FDCWD, "/proc/self/mountinfo", mounts, sizeof mounts,
				       &err) < 0)
			_exit(2);
		_exit(strstr(mounts, " nsfs ") != NULL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runtime/rootfs");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, options_tell_no_path);
	tcase_add_test(tc, layers_stack_and_ids_shift);
	tcase_add_test(tc, view_of_layers);
	tcase_add_test(tc, layer_that_comes_twice);
	tcase_add_test(tc, view_of_one_layer);
	tcase_add_test(tc, upper_as_it_is);
	tcase_add_test(tc, as_many_layers_as_an_image_may_have);
	tcase_add_test(tc, writes_land_in_the_upper_directory);
	tcase_add_test(tc, writes_land_in_a_detached_mount);
	tcase_add_test(tc, devices_and_set_user_id_are_inert);
	tcase_add_test(tc, no_layer_or_too_many_are_refused);
	tcase_add_test(tc, what_is_no_layer_is_refused);
	tcase_add_test(tc, dev_holds_the_policy_and_nothing_else);
	tcase_add_test(tc, unshared_mounts_are_private);
	tcase_add_test(tc, kept_namespaces_are_left_behind);
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
