/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "runtime/loopdev.h"
#include "runtime/process.h"
#include "runtime/quota_inner.h"

/*
 * Each sandbox has an ext4 of its own. Its image is a sparse file that never has a name, over a
 * loop device that goes with its last user: nothing is left behind, whatever is killed. An empty
 * image is made once for a limit and then copied, as there are some ten blocks in it.
 */
enum {
	BLOCK = 4096,
	INODE = 256,
	MKFS_MS = 20000,
	NAME_SIZE = 64,
	GOING_DOWN = 2, /* EXT4_GOING_FLAGS_NOLOGFLUSH */
};
#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)

/* ---- the empty image ------------------------------------------------------------------------- */

static int open_nameless(const struct cx_quota *quota, struct cx_err *err)
{
	int fd = openat(quota->at, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int flags = 0;

	if (fd < 0)
		return cx_fail(err, errno, "make a file without a name");
	/* On btrfs blocks that are written twice are better not copied; others do not know the
	 * flag. */
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_NOCOW_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	return fd;
}

/* Its inodes' table comes on top, so that statfs(2) tells of the bytes that were asked for. */
static int set_size(int fd, const struct cx_quota_limit *limit, struct cx_err *err)
{
	uint64_t table = 0, size = 0;

	if (__builtin_mul_overflow(limit->inodes, (uint64_t)INODE, &table) ||
	    __builtin_add_overflow(limit->bytes, table, &size) || size > INT64_MAX)
		return cx_refuse(err, CX_INVALID, "a disk of %llu bytes",
				 (unsigned long long)limit->bytes);
	if (ftruncate(fd, (off_t)(size / BLOCK * BLOCK)) < 0)
		return cx_fail(err, errno, "a sparse file of %llu bytes", (unsigned long long)size);
	return 0;
}

static int wait_for_end(int pidfd, struct cx_err *err)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	if (poll(&end, 1, MKFS_MS) <= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
		return cx_fail(err, errno, "wait for mkfs.ext4");
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		return cx_refuse(err, CX_INTERNAL, "mkfs.ext4 failed (%d)", info.si_status);
	return 0;
}

/*
 * No journal: what is in it is nobody's after a crash. No tables are zeroed: a new file is zero.
 * Nothing is reserved for root, which has no rights here.
 */
static int format(int fd, const struct cx_quota_limit *limit, struct cx_err *err)
{
	static char name[] = "mkfs.ext4", quiet[] = "-qF", file[] = "/proc/self/fd/3";
	static char block[] = "-b4096", inode[] = "-I256", reserved[] = "-m0", o[] = "-O",
		    e[] = "-E";
	static char features[] = "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,uninit_bg,"
				 "sparse_super2,large_file,huge_file,dir_nlink,extra_isize";
	static char extended[] = "lazy_itable_init=1,nodiscard,num_backup_sb=0";
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char inodes[32];
	char *const argv[] = { name, quiet,    block, inode,	reserved, inodes,
			       o,    features, e,     extended, file,	  NULL };
	char *const envp[] = { path, NULL };
	const int fds[] = { -EBADF, -EBADF, STDERR_FILENO, fd };
	struct cx_process_plan plan = { .path = "/usr/sbin/mkfs.ext4",
					.argv = argv,
					.envp = envp,
					.fds = fds,
					.nfds = CX_LEN(fds),
					.drop_caps = 1,
					.die_with_parent = 1 };
	cx_autofd int pidfd = -EBADF;
	pid_t pid;

	(void)snprintf(inodes, sizeof inodes, "-N%llu", (unsigned long long)limit->inodes);
	if (access(plan.path, X_OK) < 0)
		plan.path = "/sbin/mkfs.ext4";
	if (cx_process_start(&plan, &pid, &pidfd, err) < 0)
		return -err->errnum;
	return wait_for_end(pidfd, err);
}

/* By which a next daemon knows the device. */
static int name_device(const struct cx_quota *quota, const char *id, char *ret, struct cx_err *err)
{
	return cx_format(ret, NAME_SIZE, "caisson-%s/%s", err, quota->name, id);
}

static int mount_device(const char *path, struct cx_err *err)
{
	const char *const options[] = { "source",
					path, /* */
					"discard",
					NULL, /* what is deleted is the host's again */
					"noinit_itable",
					NULL,
					"nobarrier",
					NULL, /* nothing waits for the host's disk */
					NULL };

	return cx_quota_mount("ext4", options, err);
}

/* Once, so that not each sandbox's has to look for room for them. Closed, they are in the file. */
static int add_halves(const struct cx_quota *quota, int file, struct cx_err *err)
{
	char name[NAME_SIZE], path[32];
	cx_autofd int device = -EBADF, dir = -EBADF;
	uint32_t number;

	if (name_device(quota, "empty", name, err) < 0)
		return -err->errnum;
	device = cx_loopdev_make(file, name, &number, path, sizeof path, err);
	dir = device >= 0 ? mount_device(path, err) : -EBADF;
	return dir < 0 ? -err->errnum : cx_quota_make_halves(dir, err);
}

static int make_image(struct cx_quota *quota, const struct cx_quota_limit *limit,
		      struct cx_quota_image *ret, struct cx_err *err)
{
	cx_autofd int fd = open_nameless(quota, err);

	if (fd < 0 || set_size(fd, limit, err) < 0 || format(fd, limit, err) < 0 ||
	    add_halves(quota, fd, err) < 0)
		return -err->errnum;
	cx_close(&ret->fd);
	*ret = (struct cx_quota_image){ .fd = cx_take_fd(&fd), .limit = *limit };
	return 0;
}

/* Its making is waited for, so those that clients alternate between are kept. */
static int need_image(struct cx_quota *quota, const struct cx_quota_limit *limit,
		      const struct cx_quota_image **ret, struct cx_err *err)
{
	struct cx_quota_image *next = &quota->images[quota->next_image];

	for (size_t i = 0; i < CX_LEN(quota->images); i++) {
		*ret = &quota->images[i];
		if ((*ret)->fd >= 0 && (*ret)->limit.bytes == limit->bytes &&
		    (*ret)->limit.inodes == limit->inodes)
			return 0;
	}
	if (make_image(quota, limit, next, err) < 0)
		return -err->errnum;
	quota->next_image = (quota->next_image + 1) % CX_LEN(quota->images);
	*ret = next;
	return 0;
}

/* The blocks from `at` to `end`. */
static int copy_range(int from, int to, off_t at, off_t end, struct cx_err *err)
{
	off_t in = at, out = at;

	while (in < end) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);

		if (n <= 0)
			return cx_fail(err, n < 0 ? errno : EIO, "copy an empty image");
	}
	return 0;
}

static int copy_image(const struct cx_quota *quota, const struct cx_quota_image *image,
		      struct cx_err *err)
{
	cx_autofd int fd = open_nameless(quota, err);
	off_t end, at = 0;

	if (fd < 0 || set_size(fd, &image->limit, err) < 0)
		return -err->errnum;
	for (;;) {
		at = lseek(image->fd, at, SEEK_DATA);
		end = at >= 0 ? lseek(image->fd, at, SEEK_HOLE) : -1;
		if (at < 0 && errno == ENXIO)
			return cx_take_fd(&fd);
		if (end < 0)
			return cx_fail(err, errno, "look for blocks of an empty image");
		if (copy_range(image->fd, fd, at, end, err) < 0)
			return -err->errnum;
		at = end;
	}
}

/* ---- the back end ---------------------------------------------------------------------------- */

static int make(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		struct cx_writable *w, struct cx_err *err)
{
	char name[NAME_SIZE], path[32];
	cx_autofd int file = -EBADF, device = -EBADF;
	const struct cx_quota_image *image;

	if (name_device(quota, id, name, err) < 0 || need_image(quota, limit, &image, err) < 0)
		return -err->errnum;
	file = copy_image(quota, image, err);
	if (file < 0)
		return file;
	device = cx_loopdev_make(file, name, &w->device, path, sizeof path, err);
	if (device < 0)
		return device;
	w->dir = mount_device(path, err);
	return w->dir < 0 ? w->dir : 0;
}

/* While it is open the device cannot become another's. */
static int find(struct cx_quota *quota, const char *id, struct cx_writable *w, struct cx_err *err)
{
	char name[NAME_SIZE], path[32];
	cx_autofd int device = -EBADF;

	if (name_device(quota, id, name, err) < 0)
		return -err->errnum;
	device = cx_loopdev_find(w->device, name, path, sizeof path, err);
	if (device < 0)
		return device;
	w->dir = mount_device(path, err);
	return w->dir < 0 ? w->dir : 0;
}

/* Else the kernel would write out what nobody will read before it lets go of the device. */
static void discard(const struct cx_writable *w)
{
	cx_autofd int dir = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t how = GOING_DOWN;

	if (dir >= 0)
		(void)ioctl(dir, EXT4_SHUTDOWN, &how);
}

const struct cx_quota_ops cx_quota_loop = { .make = make,
					    .find = find,
					    .discard = discard,
					    .is_mount = true,
					    .counts_inodes = true,
					    .has_halves = true };
