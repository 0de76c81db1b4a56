/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/path.h"

int cx_mount_new(const char *type, const char *const *options, unsigned attrs, struct cx_err *err)
{
	cx_autofd int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return cx_fail(err, errno, "open file system '%s'", type);
	for (; *options != NULL; options += 2)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[0], options[1], 0) < 0)
			return cx_fail(err, errno, "%s option '%s=%s'", type, options[0],
				       options[1]);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return cx_fail(err, errno, "create file system '%s'", type);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, attrs);
	return fd < 0 ? cx_fail(err, errno, "mount file system '%s'", type) : fd;
}

int cx_mount_check(int fd, uint64_t magic, const char *what, struct cx_err *err)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return cx_fail(err, errno, "look at '%s'", what);
	if ((uint64_t)st.f_type != magic)
		return cx_refuse(err, CX_DENIED,
				 "'%s' is on a file system of type %#llx, not %#llx", what,
				 (unsigned long long)st.f_type, (unsigned long long)magic);
	return 0;
}

static_assert((int)MOUNT_ATTR_RDONLY == (int)MS_RDONLY &&
		      (int)MOUNT_ATTR_NOSUID == (int)MS_NOSUID &&
		      (int)MOUNT_ATTR_NODEV == (int)MS_NODEV &&
		      (int)MOUNT_ATTR_NOEXEC == (int)MS_NOEXEC,
	      "mount(2) takes the same bits");

int cx_mount_at(const char *type, const char *const *options, unsigned attrs, const char *at,
		struct cx_err *err)
{
	char text[128];
	size_t len = 0;

	for (; *options != NULL; options += 2) {
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s=%s",
					len > 0 ? "," : "", options[0], options[1]);
		if (len >= sizeof text)
			return cx_refuse(err, CX_INTERNAL, "too many options for '%s'", type);
	}
	if (mount("none", at, type, attrs, len > 0 ? text : NULL) < 0)
		return cx_fail(err, errno, "mount file system '%s'", type);
	return 0;
}

int cx_mount_bind(const char *from, const char *at, struct cx_err *err)
{
	if (mount(from, at, NULL, MS_BIND, NULL) < 0)
		return cx_fail(err, errno, "mount '%s' at '%s'", from, at);
	return 0;
}

int cx_mount_restrict(const char *at, unsigned attrs, struct cx_err *err)
{
	struct mount_attr attr = { .attr_set = attrs };

	if (mount_setattr(AT_FDCWD, at, AT_SYMLINK_NOFOLLOW, &attr, sizeof attr) < 0)
		return cx_fail(err, errno, "restrict '%s'", at);
	return 0;
}

/* A time that says nothing, so that two commits of the same content are the same. */
int cx_mount_point(int dir, const char *name, mode_t mode, struct cx_err *err)
{
	static const struct timespec epoch[2];
	int fd = cx_open_no_links(dir, name, O_PATH | O_DIRECTORY, 0, err);

	if (fd >= 0)
		return fd;
	if ((fd == -ELOOP || fd == -ENOTDIR) && unlinkat(dir, name, 0) < 0)
		return cx_fail(err, errno, "remove '%s', which is no directory", name);
	if (mkdirat(dir, name, mode) < 0 || utimensat(dir, name, epoch, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_fail(err, errno, "make directory '%s'", name);
	return cx_open_no_links(dir, name, O_PATH | O_DIRECTORY, 0, err);
}

int cx_mount_move(int from, int at, const char *name, struct cx_err *err)
{
	cx_autofd int target = cx_mount_point(at, name, 0755, err);
	cx_autofd int tree = -EBADF;
	struct stat moved, seen;

	if (target < 0)
		return target;
	tree = cx_open_no_links(from, name, O_PATH, 0, err);
	if (tree < 0)
		return tree;
	if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "mount at '%s'", name);
	if (fstat(tree, &moved) < 0 || fstatat(at, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_fail(err, errno, "look at '%s'", name);
	if (moved.st_dev != seen.st_dev || moved.st_ino != seen.st_ino)
		return cx_refuse(err, CX_DENIED, "'%s' is not what was mounted there", name);
	return 0;
}
