/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/fd.h"
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

/* The number of the subvolume, which is that of its quota group. */
static int look_up_group(int fd, __u64 *ret, struct cx_err *err)
{
	struct btrfs_ioctl_ino_lookup_args tree = { .objectid = BTRFS_FIRST_FREE_OBJECTID };

	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &tree) < 0)
		return cx_fail(err, errno, "look for a subvolume's number");
	*ret = tree.treeid;
	return 0;
}

static int limit_group(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		       struct cx_err *err)
{
	cx_autofd int fd = open_for_ioctl(quota, id, err);
	struct btrfs_ioctl_qgroup_limit_args args = { .lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
							       .max_rfer = limit->bytes } };

	if (fd < 0 || look_up_group(fd, &args.qgroupid, err) < 0)
		return -err->errnum;
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

/* ---- how much of it is used ------------------------------------------------------------------ */

static uint64_t read_figure(int group, const char *name)
{
	struct cx_err ignored;
	char text[32];

	return cx_read_small_file(group, name, text, sizeof text, &ignored) >= 0
		       ? strtoull(text, NULL, 10)
		       : 0;
}

/* What the kernel holds against the limit: what is there, and what is set aside for it. */
static uint64_t read_held(int group)
{
	static const char *const files[] = { "referenced", "rsv_data", "rsv_meta_pertrans",
					     "rsv_meta_prealloc" };
	uint64_t sum = 0;

	for (size_t i = 0; i < CX_LEN(files); i++)
		sum += read_figure(group, files[i]);
	return sum;
}

static void write_uuid(const uint8_t id[16], char ret[37])
{
	for (unsigned i = 0; i < 16; i++) {
		bool dash = i == 4 || i == 6 || i == 8 || i == 10;

		ret += sprintf(ret, dash ? "-%02x" : "%02x", id[i]);
	}
}

static int open_group(const struct cx_quota *quota, const char *id, struct cx_err *err)
{
	cx_autofd int fd = open_for_ioctl(quota, id, err);
	struct btrfs_ioctl_fs_info_args fs = { 0 };
	char uuid[37], path[128];
	__u64 group;
	int dir;

	if (fd < 0 || look_up_group(fd, &group, err) < 0)
		return -err->errnum;
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &fs) < 0)
		return cx_fail(err, errno, "look for a btrfs");
	write_uuid(fs.fsid, uuid);
	if (cx_format(path, sizeof path, "/sys/fs/btrfs/%s/qgroups/0_%" PRIu64, err, uuid,
		      (uint64_t)group) < 0)
		return -err->errnum;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 ? dir : cx_fail(err, errno, "open a quota group");
}

static bool is_full(const struct cx_quota *quota, const char *id, const struct cx_writable *w)
{
	struct cx_err ignored;
	cx_autofd int group = open_group(quota, id, &ignored);
	uint64_t limit = group >= 0 ? read_figure(group, "max_referenced") : 0;

	(void)w;
	return limit > 0 && read_held(group) + CX_QUOTA_ROOM > limit;
}

const struct cx_quota_ops cx_quota_btrfs = {
	.make = make, .set = set, .is_full = is_full, .remove = destroy
};
