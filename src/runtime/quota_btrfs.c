/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include "base/str.h"
#include "runtime/quota_inner.h"

/*
 * Inodes are not counted by the kernel: they are bytes of metadata here, which the limit includes.
 * statfs(2) tells of the whole file system.
 */
static int open_for_ioctl(const struct cx_quota *quota, const char *path, struct cx_err *err)
{
	int fd = openat(quota->at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : cx_fail(err, errno, "open a directory of a btrfs");
}

static int limit_group(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		       struct cx_err *err)
{
	cx_autofd int fd = open_for_ioctl(quota, id, err);
	struct btrfs_ioctl_ino_lookup_args tree = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
	struct btrfs_ioctl_qgroup_limit_args args = { .lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
							       .max_rfer = limit->bytes } };

	if (fd < 0)
		return fd;
	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &tree) < 0)
		return cx_fail(err, errno, "look for a subvolume's number");
	args.qgroupid = tree.treeid;
	if (ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0)
		return errno == ENOTCONN
			       ? cx_refuse(err, CX_UNAVAILABLE,
					   "quotas of this btrfs are off; see 'btrfs quota enable'")
			       : cx_fail(err, errno, "limit a subvolume");
	return 0;
}

static int make_subvolume(struct cx_quota *quota, const char *id, struct cx_err *err)
{
	struct btrfs_ioctl_vol_args args = { .fd = 0 };
	cx_autofd int fd = open_for_ioctl(quota, ".", err);

	if (fd < 0 || cx_format(args.name, sizeof args.name, "%s", err, id) < 0)
		return -err->errnum;
	if (ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0)
		return errno == ENOTTY ? cx_refuse(err, CX_UNAVAILABLE, "no btrfs")
				       : cx_fail(err, errno, "make a subvolume");
	return 0;
}

static int make(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		struct cx_writable *w, struct cx_err *err)
{
	if (make_subvolume(quota, id, err) < 0 || limit_group(quota, id, limit, err) < 0)
		return -err->errnum;
	w->dir = cx_quota_opendir(quota, id, err);
	return w->dir < 0 ? w->dir : 0;
}

static int set(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
	       struct cx_writable *w, struct cx_err *err)
{
	(void)w;
	return limit_group(quota, id, limit, err);
}

/* The kernel deletes the files by and by, and their group with them. */
static int destroy(struct cx_quota *quota, const char *id, struct cx_err *err)
{
	struct btrfs_ioctl_vol_args args = { .fd = 0 };
	cx_autofd int fd = open_for_ioctl(quota, ".", err);

	if (fd < 0 || cx_format(args.name, sizeof args.name, "%s", err, id) < 0)
		return -err->errnum;
	if (ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &args) < 0 && errno != ENOENT && errno != EINVAL &&
	    errno != ENOTTY)
		return cx_fail(err, errno, "delete a subvolume");
	return 0;
}

const struct cx_quota_ops cx_quota_btrfs = { .make = make, .set = set, .remove = destroy };
