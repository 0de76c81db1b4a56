/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A rename racing with ".." makes the kernel say EAGAIN; an attacker must not make us spin. */
enum { TRIES = 64 };

static int open_resolved(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve,
			 struct cx_err *err)
{
	bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = creates ? mode : 0, /* openat2 refuses a mode that it would not use */
		.resolve = resolve | RESOLVE_NO_MAGICLINKS,
	};

	for (int i = 0; i < TRIES; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	if (errno == EXDEV)
		return cx_refuse(err, CX_DENIED, "'%s' leads out of its tree", path);
	if (errno == ELOOP && (resolve & RESOLVE_NO_SYMLINKS) != 0)
		return cx_fail(err, ELOOP, "'%s' is or passes a symbolic link", path);
	return cx_fail(err, errno, "open '%s'", path);
}

int cx_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_XDEV, err);
}

int cx_open_in_root(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_IN_ROOT, err);
}

int cx_open_no_links(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, err);
}

int cx_mkdir_p(const char *path, mode_t mode, struct cx_err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int fd;

	if (len == 0 || len >= sizeof part)
		return cx_refuse(err, CX_INVALID, "directory name of %zu bytes", len);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return cx_fail(err, errno, "make directory '%s'", part);
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cx_fail(err, errno, "open directory '%s'", path);
	return fd;
}
