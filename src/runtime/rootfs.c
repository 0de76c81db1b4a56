/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/str.h"
#include "policy/policy.h"
#include "runtime/loopdev.h"

enum { FD_PATH = 32 };

static int set(int fs, const char *key, const char *value, struct cx_err *err)
{
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0)
		return cx_fail(err, errno, "mount option %s=%.100s", key, value);
	return 0;
}

static int set_flag(int fs, const char *key, struct cx_err *err)
{
	if (fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0) < 0)
		return cx_fail(err, errno, "mount option %s", key);
	return 0;
}

static int new_fs(const char *type, struct cx_err *err)
{
	int fs = fsopen(type, FSOPEN_CLOEXEC);

	return fs >= 0 ? fs : cx_fail(err, errno, "file system '%s'", type);
}

/* The detached mount of a configured file system. */
static int create(int fs, unsigned attrs, struct cx_err *err)
{
	int mnt;

	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return cx_fail(err, errno, "create the file system");
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, attrs);
	return mnt >= 0 ? mnt : cx_fail(err, errno, "mount the file system");
}

static void fd_path(int fd, char *path)
{
	(void)snprintf(path, FD_PATH, "/proc/self/fd/%d", fd);
}

/* ---- layers ---------------------------------------------------------------------------------- */

enum { LAYER_ATTRS = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID };

static int mount_source(const char *source, struct cx_err *err)
{
	cx_autofd int fs = new_fs("erofs", err);

	if (fs < 0)
		return fs;
	/* "ro" is for a loop device, which the kernel would else want to open for writing. */
	if (set(fs, "source", source, err) < 0 || set_flag(fs, "ro", err) < 0)
		return -err->errnum;
	return create(fs, LAYER_ATTRS, err);
}

/*
 * File-backed; the kernel says ENOTBLK where it cannot: before 6.12, not configured, or the file
 * lies on a tmpfs.
 */
static int mount_layer_file(int file, struct cx_err *err)
{
	cx_autofd int device = -EBADF;
	char path[FD_PATH];
	int mnt;

	fd_path(file, path);
	mnt = mount_source(path, err);
	if (mnt >= 0 || err->errnum != ENOTBLK)
		return mnt;
	device = cx_loopdev_open(file, path, sizeof path, err);
	return device < 0 ? device : mount_source(path, err);
}

int cx_layer_mount(int file, const char *at, struct cx_err *err)
{
	cx_autofd int mnt = mount_layer_file(file, err);

	if (mnt < 0)
		return cx_wrap(err, "mount layer");
	if (move_mount(mnt, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "attach layer at '%s'", at);
	return cx_take_fd(&mnt);
}

void cx_layer_unmount(const char *at)
{
	(void)umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* ---- a sandbox's root ------------------------------------------------------------------------ */

void cx_rootfs_drop(struct cx_rootfs_clones *clones)
{
	char path[FD_PATH];

	for (unsigned i = clones->n; i-- > 0;) { /* one may be on top of another */
		if (i < clones->attached) {
			fd_path(clones->fds[i], path);
			(void)umount2(path, MNT_DETACH);
		}
		cx_close(&clones->fds[i]);
	}
	clones->n = clones->attached = 0;
}

/* The same layer, with its ids 0 .. 65535 shown as those of the sandbox. */
static int clone_layer(int layer, int userns, struct cx_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns };
	cx_autofd int fd =
		open_tree(layer, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0)
		return cx_fail(err, errno, "clone a layer's mount");
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		return cx_fail(err, errno, "map a layer's ids");
	return cx_take_fd(&fd);
}

static bool comes_again(const int *layers, unsigned n, unsigned i)
{
	for (unsigned above = i + 1; above < n; above++)
		if (layers[above] == layers[i])
			return true;
	return false;
}

/*
 * An overlay takes no directory twice. Of a layer that an image has twice the upper one is enough:
 * whatever the lower one shows or hides, that one does, too.
 */
static int clone_layers(const int *layers, unsigned n, int userns, struct cx_rootfs_clones *ret,
			struct cx_err *err)
{
	for (unsigned i = 0; i < n; i++) {
		if (comes_again(layers, n, i))
			continue;
		ret->fds[ret->n] = clone_layer(layers[i], userns, err);
		if (ret->fds[ret->n] < 0)
			return -err->errnum;
		ret->n++;
	}
	return 0;
}

/* Over a layer itself, where nobody looks by name. */
static int attach_clones(struct cx_rootfs_clones *clones, int layer, struct cx_err *err)
{
	for (unsigned i = clones->attached; i < clones->n; i++) {
		if (move_mount(clones->fds[i], "", layer, "",
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			return cx_fail(err, errno, "attach a layer's clone");
		clones->attached++;
	}
	return 0;
}

/*
 * Named by number: no path with a comma or a colon can get in, and mountinfo, which shows the words
 * of whoever mounted, tells a sandbox nothing of the host's directories.
 */
struct writable {	/* or none: upper is -EBADF */
	const char *at; /* a directory by name, where an overlay may be for a moment */
	int mount;	/* detached, attached there too for a moment; -EBADF: none */
	int upper, work;
	char upper_path[FD_PATH], work_path[FD_PATH];
};

static void close_writable(struct writable *w)
{
	cx_close(&w->upper);
	cx_close(&w->work);
}

static int open_writable(const struct cx_rootfs_writable *from, struct writable *ret,
			 struct cx_err *err)
{
	ret->at = from->at;
	ret->mount = from->is_mount ? from->dir : -EBADF;
	ret->upper = openat(from->dir, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ret->work = openat(from->dir, "work", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->upper < 0 || ret->work < 0)
		return cx_fail(err, errno, "open the writable directories");
	fd_path(ret->upper, ret->upper_path);
	fd_path(ret->work, ret->work_path);
	return 0;
}

enum { VIEW_ATTRS = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };

static int overlay_by_descriptor(const struct cx_rootfs_clones *clones, const struct writable *w,
				 struct cx_err *err)
{
	cx_autofd int fs = new_fs("overlay", err);

	if (fs < 0)
		return fs;
	for (unsigned i = clones->n; i-- > 0;)
		if (fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", NULL, clones->fds[i]) < 0)
			return cx_fail(err, errno, "add a layer by descriptor");
	if (set_flag(fs, "userxattr", err) < 0)
		return -err->errnum;
	if (w->upper < 0)
		return create(fs, VIEW_ATTRS, err);
	if (set(fs, "upperdir", w->upper_path, err) < 0 ||
	    set(fs, "workdir", w->work_path, err) < 0 || set_flag(fs, "volatile", err) < 0)
		return -err->errnum;
	return create(fs, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, err);
}

static void format_options(const struct cx_rootfs_clones *clones, const struct writable *w,
			   char *text, size_t size)
{
	size_t len = 0;

	for (unsigned i = clones->n; i-- > 0;)
		len += (size_t)snprintf(text + len, size - len, "%s/proc/self/fd/%d",
					len > 0 ? ":" : "lowerdir=", clones->fds[i]);
	len += (size_t)snprintf(text + len, size - len, ",userxattr");
	if (w->upper >= 0)
		(void)snprintf(text + len, size - len, ",upperdir=%s,workdir=%s,volatile",
			       w->upper_path, w->work_path);
}

/*
 * fsconfig() takes at most 255 bytes for a value, 14 layers; mount(2) takes a page. It attaches
 * what it makes, for a moment over the writable directory.
 */
static int overlay_at(const struct cx_rootfs_clones *clones, const struct writable *w,
		      struct cx_err *err)
{
	const unsigned long flags =
		MS_NODEV | MS_NOSUID | (w->upper < 0 ? MS_RDONLY | MS_NOEXEC : 0);
	char options[(CX_ROOTFS_LAYERS_MAX + 4) * FD_PATH];
	int fd;

	format_options(clones, w, options, sizeof options);
	if (mount("overlay", w->at, "overlay", flags, options) < 0)
		return cx_fail(err, errno, "mount by list");
	fd = open_tree(AT_FDCWD, w->at, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		(void)cx_fail(err, errno, "detach");
	(void)umount2(w->at, MNT_DETACH | UMOUNT_NOFOLLOW);
	return fd >= 0 ? fd : -err->errnum;
}

/* The writable mount has to have a place, too; later nobody needs it there. */
static int overlay_by_list(const struct cx_rootfs_clones *clones, const struct writable *w,
			   struct cx_err *err)
{
	int mnt;

	if (w->mount < 0)
		return overlay_at(clones, w, err);
	if (move_mount(w->mount, "", AT_FDCWD, w->at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "attach the writable directory");
	mnt = overlay_at(clones, w, err);
	(void)umount2(w->at, MNT_DETACH | UMOUNT_NOFOLLOW);
	return mnt;
}

/*
 * The topmost layer is named first in each. A kernel that does not know a way says so with one of
 * these errors, at once or when the file system is created.
 */
static const struct {
	int (*make)(const struct cx_rootfs_clones *clones, const struct writable *w,
		    struct cx_err *err);
	bool attached;
	const char *why;
} overlay_ways[] = {
	{ overlay_by_descriptor, false,
	  "since Linux 6.15: nothing is attached or looked up by name" },
	{ overlay_by_list, true, "before that" },
};

static bool unknown_way(int error)
{
	return error == -EINVAL || error == -EBADF || error == -EOPNOTSUPP;
}

static int make_overlay(struct cx_rootfs_clones *clones, int layer, const struct writable *w,
			struct cx_err *err)
{
	int mnt = -EINVAL;

	for (size_t way = 0; way < CX_LEN(overlay_ways) && unknown_way(mnt); way++) {
		if (overlay_ways[way].attached && attach_clones(clones, layer, err) < 0)
			return -err->errnum;
		mnt = overlay_ways[way].make(clones, w, err);
	}
	return mnt < 0 ? cx_wrap(err, "overlay") : mnt;
}

static int check_layers(unsigned nlayers, struct cx_err *err)
{
	if (nlayers == 0 || nlayers > CX_ROOTFS_LAYERS_MAX)
		return cx_refuse(err, CX_INVALID, "%u layers: an image has 1 to %d", nlayers,
				 CX_ROOTFS_LAYERS_MAX);
	return 0;
}

int cx_rootfs_make(const int *layers, unsigned nlayers, int userns,
		   const struct cx_rootfs_writable *writable, struct cx_rootfs_clones *ret_clones,
		   struct cx_err *err)
{
	CX_AUTO(close_writable) struct writable w = { .upper = -EBADF, .work = -EBADF };

	if (check_layers(nlayers, err) < 0 || open_writable(writable, &w, err) < 0 ||
	    clone_layers(layers, nlayers, userns, ret_clones, err) < 0)
		return -err->errnum;
	return make_overlay(ret_clones, layers[0], &w, err);
}

/* ---- trees that are only read ---------------------------------------------------------------- */

static int make_empty(struct cx_rootfs_clones *clones, struct cx_err *err)
{
	cx_autofd int fs = new_fs("tmpfs", err);

	if (fs < 0)
		return fs;
	clones->fds[0] = create(fs, VIEW_ATTRS, err);
	clones->n = clones->fds[0] >= 0;
	return clones->fds[0] < 0 ? -err->errnum : 0;
}

/* Below the layers there is an empty one: an overlay wants two, and hides whiteouts from below. */
int cx_rootfs_view(const int *layers, unsigned nlayers, int userns, const char *at,
		   struct cx_err *err)
{
	CX_AUTO(cx_rootfs_drop) struct cx_rootfs_clones clones = { .n = 0 };
	const struct writable none = { .at = at, .mount = -EBADF, .upper = -EBADF, .work = -EBADF };

	if (check_layers(nlayers, err) < 0 || make_empty(&clones, err) < 0 ||
	    clone_layers(layers, nlayers, userns, &clones, err) < 0)
		return -err->errnum;
	return make_overlay(&clones, layers[0], &none, err);
}

static int clone_upper(int dir)
{
	return open_tree(dir, "upper", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
}

/* A kernel before 6.15 clones only what is attached. */
static int clone_attached(const struct cx_rootfs_writable *w)
{
	int fd;

	if (move_mount(w->dir, "", AT_FDCWD, w->at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -1;
	fd = clone_upper(w->dir);
	(void)umount2(w->at, MNT_DETACH | UMOUNT_NOFOLLOW);
	return fd;
}

int cx_rootfs_upper(const struct cx_rootfs_writable *writable, struct cx_err *err)
{
	struct mount_attr restricted = { .attr_set = VIEW_ATTRS };
	cx_autofd int fd = clone_upper(writable->dir);

	if (fd < 0 && errno == EINVAL && writable->is_mount)
		fd = clone_attached(writable);
	if (fd < 0)
		return cx_fail(err, errno, "clone what was written at '%s'", writable->at);
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &restricted, sizeof restricted) < 0)
		return cx_fail(err, errno, "make what was written at '%s' read-only", writable->at);
	return cx_take_fd(&fd);
}

/* ---- /dev ------------------------------------------------------------------------------------ */

static int give(int dir, const char *name, uint32_t uid_base, struct cx_err *err)
{
	if (fchownat(dir, name, uid_base, uid_base, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_fail(err, errno, "owner of /dev/%s", name);
	return 0;
}

static int fill_dev(int dev, uint32_t uid_base, struct cx_err *err)
{
	for (size_t i = 0; i < cx_policy_ndevices; i++) {
		const struct cx_device_row *row = &cx_policy_devices[i];

		if (!row->node)
			continue;
		/* Twice, because the umask takes bits from the first. */
		if (mknodat(dev, row->name, S_IFCHR | 0666,
			    makedev(row->major, (unsigned)row->minor)) < 0 ||
		    fchmodat(dev, row->name, 0666, 0) < 0)
			return cx_fail(err, errno, "make /dev/%s", row->name);
		if (give(dev, row->name, uid_base, err) < 0)
			return -err->errnum;
	}
	for (size_t i = 0; i < cx_policy_ndev_links; i++) {
		const struct cx_link_row *row = &cx_policy_dev_links[i];

		if (symlinkat(row->target, dev, row->name) < 0)
			return cx_fail(err, errno, "make /dev/%s", row->name);
		if (give(dev, row->name, uid_base, err) < 0)
			return -err->errnum;
	}
	for (size_t i = 0; i < cx_policy_ndev_dirs; i++) {
		if (mkdirat(dev, cx_policy_dev_dirs[i], 0755) < 0)
			return cx_fail(err, errno, "make /dev/%s", cx_policy_dev_dirs[i]);
		if (give(dev, cx_policy_dev_dirs[i], uid_base, err) < 0)
			return -err->errnum;
	}
	return 0;
}

int cx_devfs_make(uint32_t uid_base, struct cx_err *err)
{
	cx_autofd int fs = new_fs("tmpfs", err), dev = -EBADF;
	char id[16];

	if (fs < 0)
		return fs;
	(void)snprintf(id, sizeof id, "%u", uid_base);
	if (set(fs, "mode", "0755", err) < 0 || set(fs, "size", "64k", err) < 0 ||
	    set(fs, "nr_inodes", "64", err) < 0 || set(fs, "uid", id, err) < 0 ||
	    set(fs, "gid", id, err) < 0)
		return -err->errnum;
	dev = create(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
	if (dev < 0)
		return cx_wrap(err, "/dev");
	return fill_dev(dev, uid_base, err) < 0 ? -err->errnum : cx_take_fd(&dev);
}

/* The copy of a mount that somebody keeps a namespace by would keep it as long as we run. */
static void drop_namespaces(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;

	while (mounts != NULL && (m = getmntent(mounts)) != NULL)
		if (strcmp(m->mnt_type, "nsfs") == 0)
			(void)umount2(m->mnt_dir, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (mounts != NULL)
		(void)endmntent(mounts);
}

int cx_mounts_unshare(struct cx_err *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return cx_fail(err, errno, "new mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "make mounts private");
	drop_namespaces();
	return 0;
}
