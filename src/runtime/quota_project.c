/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/quota_inner.h"

/*
 * The directory has a project of its own, which all that is made below inherits. Its number comes
 * from the sandbox's name, so that it is known without a record; what is deleted later still counts
 * for the old one.
 */
enum {
	DIGITS = 6,	       /* of base 36, the last of the name */
	PROJECT_BIT = 1 << 30, /* far from those that people give */
	QUOTA_BLOCK = 1024,
	UNUSED_TRIES = 50,
};

static uint32_t project_of(const char *id)
{
	size_t len = strlen(id);
	unsigned long n = strtoul(len > DIGITS ? id + len - DIGITS : id, NULL, 36);

	return (uint32_t)(n % PROJECT_BIT) + PROJECT_BIT;
}

static int ask(const struct cx_quota *quota, unsigned what, const char *id, struct if_dqblk *dq)
{
	return (int)syscall(SYS_quotactl_fd, quota->at, QCMD(what, PRJQUOTA), project_of(id), dq);
}

static int limit_project(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
			 struct cx_err *err)
{
	struct if_dqblk dq = { .dqb_bhardlimit = limit->bytes / QUOTA_BLOCK,
			       .dqb_ihardlimit = limit->inodes,
			       .dqb_valid = QIF_LIMITS };

	if (ask(quota, Q_SETQUOTA, id, &dq) < 0)
		return cx_fail(err, errno, "set a project's quota (mount option prjquota)");
	return 0;
}

/* XFS counts what was deleted for a moment more. */
static int wait_unused(struct cx_quota *quota, const char *id, struct cx_err *err)
{
	static const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	struct if_dqblk dq = { 0 };

	for (int i = 0; i < UNUSED_TRIES; i++) {
		if (ask(quota, Q_GETQUOTA, id, &dq) < 0)
			return errno == ENOENT
				       ? 0
				       : cx_fail(err, errno,
						 "read a project's quota (mount option prjquota)");
		if (dq.dqb_curspace == 0 && dq.dqb_curinodes == 0)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return cx_refuse(err, CX_CONFLICT, "project %u is in use", project_of(id));
}

static int mark(const struct cx_quota *quota, const char *id, struct cx_err *err)
{
	cx_autofd int fd = openat(quota->at, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct fsxattr attr;

	if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return cx_fail(err, errno, "look at a directory's project");
	attr.fsx_projid = project_of(id);
	attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0)
		return cx_fail(err, errno, "set a directory's project");
	return 0;
}

static int make(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		struct cx_writable *w, struct cx_err *err)
{
	if (wait_unused(quota, id, err) < 0 || cx_quota_mkdir(quota, id, err) < 0 ||
	    mark(quota, id, err) < 0 || limit_project(quota, id, limit, err) < 0)
		return -err->errnum;
	w->dir = cx_quota_opendir(quota, id, err);
	return w->dir < 0 ? w->dir : 0;
}

static int set(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
	       struct cx_writable *w, struct cx_err *err)
{
	(void)w;
	return limit_project(quota, id, limit, err);
}

/* A project without limits is forgotten by the kernel with its last file. */
static int clear(struct cx_quota *quota, const char *id, struct cx_err *err)
{
	static const struct cx_quota_limit none;

	return limit_project(quota, id, &none, err);
}

const struct cx_quota_ops cx_quota_project = {
	.make = make, .set = set, .remove = clear, .counts_inodes = true
};
