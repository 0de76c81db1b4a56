/* SPDX-License-Identifier: Apache-2.0 */
#include "base/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/str.h"

int cx_statefile_save(int dirfd, const char *name, const void *data, size_t len, bool durable,
		      struct cx_err *err)
{
	char tmp[NAME_MAX + 1];
	cx_autofd int fd = -EBADF;

	if (cx_format(tmp, sizeof tmp, "%s.new", err, name) < 0)
		return cx_wrap(err, "save state");
	/* What a crash left under this name is overwritten, so nothing below has to unlink it. */
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cx_fail(err, errno, "create '%s'", tmp);
	if (cx_write_all(fd, data, len, err) < 0)
		return cx_wrap(err, "save state '%s'", name);
	if (durable && fsync(fd) < 0)
		return cx_fail(err, errno, "fsync '%s'", tmp);
	if (renameat(dirfd, tmp, dirfd, name) < 0)
		return cx_fail(err, errno, "rename '%s' into place", tmp);
	if (durable && fsync(dirfd) < 0)
		return cx_fail(err, errno, "fsync directory of '%s'", name);
	return 0;
}

int cx_statefile_load(int dirfd, const char *name, void *data, size_t len, struct cx_err *err)
{
	cx_autofd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char extra;
	ssize_t n;

	if (fd < 0)
		return cx_fail(err, errno, "open state '%s'", name);
	n = cx_read_upto(fd, data, len, err);
	if (n < 0)
		return cx_wrap(err, "state '%s'", name);
	if ((size_t)n != len || read(fd, &extra, 1) != 0)
		return cx_refuse(err, CX_INVALID, "state '%s' does not have %zu bytes", name, len);
	return 0;
}
