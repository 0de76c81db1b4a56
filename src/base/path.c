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

int cx_open_within(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_BENEATH, err);
}

int cx_open_in_root(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_IN_ROOT, err);
}

int cx_open_no_links(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, err);
}

/* Opens the directory called by the first len bytes of name, below at; makes it if it is missing.
 */
static int make_and_enter(int at, const char *name, size_t len, mode_t mode, struct cx_err *err)
{
	char one[NAME_MAX + 1];

	if (len >= sizeof one)
		return cx_refuse(err, CX_INVALID, "a directory's name of %zu bytes", len);
	memcpy(one, name, len);
	one[len] = '\0';
	if (mkdirat(at, one, mode) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make directory '%s'", one);
	return open_resolved(at, one, O_PATH | O_DIRECTORY, 0, 0, err);
}

int cx_mkdir_p(const char *path, mode_t mode, struct cx_err *err)
{
	cx_autofd int at = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (path[0] == '\0' || strlen(path) >= PATH_MAX)
		return cx_refuse(err, CX_INVALID, "directory name of %zu bytes", strlen(path));
	if (at < 0)
		return cx_fail(err, errno, "open where '%s' begins", path);
	for (const char *p = path + strspn(path, "/"); *p != '\0'; p += strspn(p, "/")) {
		size_t len = strcspn(p, "/");
		int next = make_and_enter(at, p, len, mode, err);

		if (next < 0)
			return cx_wrap(err, "'%s'", path);
		cx_close(&at);
		at = next;
		p += len;
	}
	return cx_take_fd(&at);
}
