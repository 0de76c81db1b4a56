/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
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
 * image is made once for a limit and kept in memory, as there are some ten blocks in it.
 */
enum {
	BLOCK = 4096,
	INODE = 256,
	MKFS_MS = 20000,
	NAME_SIZE = 64,
	GOING_DOWN = 2,	      /* EXT4_GOING_FLAGS_NOLOGFLUSH */
	IMAGE_MAX = 64 << 20, /* bytes of an empty one in memory */
	LITTLE = 1 << 20,     /* bytes on a disk */
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
 * Nothing is reserved for root, which has no rights here. Each group has its own bitmaps beside it,
 * as whoever looks for the first free block makes the kernel read those of all groups that have
 * theirs together: some fifty pages for each sandbox.
 */
static int format(int fd, const struct cx_quota_limit *limit, struct cx_err *err)
{
	static char name[] = "mkfs.ext4", quiet[] = "-qF", file[] = "/proc/self/fd/3";
	static char block[] = "-b4096", inode[] = "-I256", reserved[] = "-m0", apart[] = "-G1",
		    o[] = "-O", e[] = "-E";
	static char features[] = "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,uninit_bg,"
				 "sparse_super2,large_file,huge_file,dir_nlink,extra_isize";
	static char extended[] = "lazy_itable_init=1,nodiscard,num_backup_sb=0";
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char inodes[32];
	char *const argv[] = { name, quiet,    block, inode,	reserved, inodes, apart,
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
					"noauto_da_alloc",
					NULL, /* nor does who replaces a file */
					"no_prefetch_block_bitmaps",
					NULL, /* most of it is never looked at */
					NULL };

	return cx_quota_mount("ext4", options, err);
}

/*
 * What is made in the root is spread over the groups: made where mkfs.ext4 made a directory, they
 * are beside the root, and what the kernel needs of a group is needed of few. That directory goes.
 */
static int make_halves(int dir, struct cx_err *err)
{
	static const char lost[] = "lost+found";
	cx_autofd int first = openat(dir, lost, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (first < 0)
		return cx_fail(err, errno, "open '%s'", lost);
	if (cx_quota_make_halves(first, err) < 0)
		return -err->errnum;
	if (renameat(first, "upper", dir, "upper") < 0 || renameat(first, "work", dir, "work") < 0)
		return cx_fail(err, errno, "move the halves of an empty image");
	if (unlinkat(dir, lost, AT_REMOVEDIR) < 0)
		return cx_fail(err, errno, "remove '%s'", lost);
	return 0;
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
	return dir < 0 ? -err->errnum : make_halves(dir, err);
}

/* What is in an empty image, each part with a head; between them there is nothing. */
struct part {
	off_t at;
	size_t len;
};

static int keep_part(int fd, const struct part *part, struct cx_buf *to, struct cx_err *err)
{
	char *bytes;
	ssize_t n;

	if (cx_buf_add(to, (const char *)part, sizeof *part, err) < 0)
		return -err->errnum;
	bytes = cx_buf_reserve(to, part->len, err);
	if (bytes == NULL)
		return -err->errnum;
	n = pread(fd, bytes, part->len, part->at);
	if (n != (ssize_t)part->len)
		return cx_fail(err, n < 0 ? errno : EIO, "read an empty image");
	to->len += part->len;
	return 0;
}

static int keep_parts(int fd, struct cx_buf *to, struct cx_err *err)
{
	struct part part = { .at = 0 };

	for (;;) {
		off_t end;

		part.at = lseek(fd, part.at, SEEK_DATA);
		end = part.at >= 0 ? lseek(fd, part.at, SEEK_HOLE) : -1;
		if (part.at < 0 && errno == ENXIO)
			return 0;
		if (end < 0)
			return cx_fail(err, errno, "look for blocks of an empty image");
		part.len = (size_t)(end - part.at);
		if (keep_part(fd, &part, to, err) < 0)
			return -err->errnum;
		part.at = end;
	}
}

static int make_image(struct cx_quota *quota, const struct cx_quota_limit *limit,
		      struct cx_quota_image *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf parts = { .max = IMAGE_MAX };
	cx_autofd int fd = open_nameless(quota, err);

	if (fd < 0 || set_size(fd, limit, err) < 0 || format(fd, limit, err) < 0 ||
	    add_halves(quota, fd, err) < 0 || keep_parts(fd, &parts, err) < 0)
		return -err->errnum;
	cx_buf_free(&ret->parts);
	*ret = (struct cx_quota_image){ .parts = parts, .limit = *limit };
	parts = (struct cx_buf){ 0 };
	return 0;
}

/* Its making is waited for, so those that clients alternate between are kept. */
static int need_image(struct cx_quota *quota, const struct cx_quota_limit *limit,
		      const struct cx_quota_image **ret, struct cx_err *err)
{
	struct cx_quota_image *next = &quota->images[quota->next_image];

	for (size_t i = 0; i < CX_LEN(quota->images); i++) {
		*ret = &quota->images[i];
		if ((*ret)->parts.len > 0 && (*ret)->limit.bytes == limit->bytes &&
		    (*ret)->limit.inodes == limit->inodes)
			return 0;
	}
	if (make_image(quota, limit, next, err) < 0)
		return -err->errnum;
	quota->next_image = (quota->next_image + 1) % CX_LEN(quota->images);
	*ret = next;
	return 0;
}

/*
 * By way of the device, whose pages the file system then finds in memory. Were they in the file
 * before, the kernel would wait for the disk to have them when the device is set up.
 */
static int write_image(int device, const struct cx_quota_image *image, struct cx_err *err)
{
	const struct cx_buf *parts = &image->parts;
	struct part part;

	for (size_t i = 0; i < parts->len; i += sizeof part + part.len) {
		ssize_t n;

		memcpy(&part, parts->p + i, sizeof part);
		n = pwrite(device, parts->p + i + sizeof part, part.len, part.at);
		if (n != (ssize_t)part.len)
			return cx_fail(err, n < 0 ? errno : EIO, "copy an empty image");
	}
	return 0;
}

/* What it begins with has room from the first on, however full the host's disk becomes. */
static int open_sparse(const struct cx_quota *quota, const struct cx_quota_image *image,
		       struct cx_err *err)
{
	cx_autofd int fd = open_nameless(quota, err);
	const struct cx_buf *parts = &image->parts;
	struct part part;

	if (fd < 0 || set_size(fd, &image->limit, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < parts->len; i += sizeof part + part.len) {
		memcpy(&part, parts->p + i, sizeof part);
		if (fallocate(fd, 0, part.at, (off_t)part.len) < 0 && errno != EOPNOTSUPP)
			return cx_fail(err, errno, "room for an empty image");
	}
	return cx_take_fd(&fd);
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
	file = open_sparse(quota, image, err);
	if (file < 0)
		return file;
	device = cx_loopdev_make(file, name, &w->device, path, sizeof path, err);
	if (device < 0 || write_image(device, image, err) < 0)
		return -err->errnum;
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

/*
 * Else the kernel would write out what nobody will read before it lets go of the device. Of a
 * little that costs less than the alarm that the kernel raises for this, which may go to a serial
 * line.
 */
static void discard(const struct cx_writable *w)
{
	cx_autofd int dir = -EBADF;
	uint32_t how = GOING_DOWN;
	struct statvfs fs;

	if (fstatvfs(w->dir, &fs) == 0 && (fs.f_blocks - fs.f_bfree) * fs.f_frsize <= LITTLE)
		return;
	dir = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		(void)ioctl(dir, EXT4_SHUTDOWN, &how);
}

const struct cx_quota_ops cx_quota_loop = { .make = make,
					    .find = find,
					    .discard = discard,
					    .is_mount = true,
					    .counts_inodes = true,
					    .has_halves = true };
