/* SPDX-License-Identifier: Apache-2.0 */
#include "net/keep.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/str.h"

struct visit {
	const char *run_path;
	int run;   /* to be compared with, or -EBADF */
	int netns; /* to be kept, or what was found */
};

/* Runs fn in another mount namespace. Root and working directory are those of before again. */
static int visit_mounts(int mounts, int (*fn)(struct visit *v, struct cx_err *err), struct visit *v,
			struct cx_err *err)
{
	cx_autofd int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	cx_autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cx_autofd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (own < 0 || root < 0 || cwd < 0)
		return cx_fail(err, errno, "remember own mount namespace");
	if (setns(mounts, CLONE_NEWNS) < 0)
		return cx_fail(err, errno, "enter the host's mount namespace");
	r = fn(v, err);
	if (setns(own, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0 || fchdir(cwd) < 0) {
		cx_log(CX_LOG_ERROR, "own mount namespace is lost", NULL);
		abort();
	}
	return r;
}

static int format_path(const struct visit *v, char *path, size_t size, struct cx_err *err)
{
	return cx_format(path, size, "%s/net", err, v->run_path);
}

/* ---- which mount namespace ------------------------------------------------------------------- */

static int same_directory(struct visit *v, struct cx_err *err)
{
	struct stat here, there;

	if (fstat(v->run, &here) < 0 || stat(v->run_path, &there) < 0 ||
	    here.st_dev != there.st_dev || here.st_ino != there.st_ino)
		return cx_refuse(err, CX_NOT_FOUND, "'%.200s' is another directory there",
				 v->run_path);
	return 0;
}

int cx_keep_mounts(const char *run_path, int run, int started_in, struct cx_err *err)
{
	cx_autofd int first = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct visit v = { .run_path = run_path, .run = run, .netns = -EBADF };
	int fd;

	if (first >= 0 && visit_mounts(first, same_directory, &v, err) == 0)
		return cx_take_fd(&first);
	if (visit_mounts(started_in, same_directory, &v, err) < 0)
		return cx_wrap(err, "find the host's mounts");
	fd = fcntl(started_in, F_DUPFD_CLOEXEC, 0);
	return fd >= 0 ? fd : cx_fail(err, errno, "find the host's mounts");
}

/* ---- finding, keeping, dropping -------------------------------------------------------------- */

static int find(struct visit *v, struct cx_err *err)
{
	char path[PATH_MAX];
	cx_autofd int fd = -EBADF;

	if (format_path(v, path, sizeof path, err) < 0)
		return -err->errnum;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return cx_fail(err, errno, "open '%.200s'", path);
	/* A plain file, where nothing is mounted, does not know what this asks. */
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return cx_fail(err, ENOENT, "a network namespace on '%.200s'", path);
	v->netns = cx_take_fd(&fd);
	return 0;
}

int cx_keep_find(const char *run_path, int mounts, struct cx_err *err)
{
	struct visit v = { .run_path = run_path, .run = -EBADF, .netns = -EBADF };
	int r = visit_mounts(mounts, find, &v, err);

	return r < 0 ? r : v.netns;
}

static int mount_it(struct visit *v, struct cx_err *err)
{
	char path[PATH_MAX], from[40];
	cx_autofd int file = -EBADF;

	if (format_path(v, path, sizeof path, err) < 0)
		return -err->errnum;
	file = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (file < 0)
		return cx_fail(err, errno, "make '%.200s'", path);
	(void)snprintf(from, sizeof from, "/proc/self/fd/%d", v->netns);
	if (mount(from, path, NULL, MS_BIND, NULL) < 0)
		return cx_fail(err, errno, "mount on '%.200s'", path);
	return 0;
}

int cx_keep(const char *run_path, int mounts, int netns, struct cx_err *err)
{
	struct visit v = { .run_path = run_path, .run = -EBADF, .netns = netns };

	return visit_mounts(mounts, mount_it, &v, err);
}

/* More than one may lie there, if somebody copied mounts about; the bound is a matter of form. */
static int unmount_it(struct visit *v, struct cx_err *err)
{
	char path[PATH_MAX];

	if (format_path(v, path, sizeof path, err) < 0)
		return -err->errnum;
	for (int i = 0; i < 16 && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0; i++)
		;
	return unlink(path) < 0 ? cx_fail(err, errno, "remove '%.200s'", path) : 0;
}

void cx_keep_drop(const char *run_path, int mounts)
{
	struct visit v = { .run_path = run_path, .run = -EBADF, .netns = -EBADF };
	struct cx_err err;

	if (visit_mounts(mounts, unmount_it, &v, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "router's mount is left", NULL);
}
