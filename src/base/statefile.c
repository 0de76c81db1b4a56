/* SPDX-License-Identifier: Apache-2.0 */
#include "base/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/str.h"

int cx_statefile_save(int dirfd, const char *name, const void *data, size_t len, struct cx_err *err)
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
	if (fsync(fd) < 0)
		return cx_fail(err, errno, "fsync '%s'", tmp);
	if (renameat(dirfd, tmp, dirfd, name) < 0)
		return cx_fail(err, errno, "rename '%s' into place", tmp);
	if (fsync(dirfd) < 0)
		return cx_fail(err, errno, "fsync directory of '%s'", name);
	return 0;
}
