/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int cx_write_all(int fd, const void *data, size_t len, struct cx_err *err)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t cx_read_upto(int fd, void *data, size_t len, struct cx_err *err)
{
	char *p = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, p + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read");
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

ssize_t cx_read_small_file(int dirfd, const char *name, char *buf, size_t size, struct cx_err *err)
{
	cx_autofd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", name);
	n = cx_read_upto(fd, buf, size - 1, err);
	if (n < 0)
		return cx_wrap(err, "'%s'", name);
	if ((size_t)n == size - 1)
		return cx_refuse(err, CX_INVALID, "'%s' is larger than %zu bytes", name, size - 2);
	buf[n] = '\0';
	return n;
}

int cx_write_file(int dirfd, const char *name, const char *text, struct cx_err *err)
{
	cx_autofd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = strlen(text);

	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", name);
	if (write(fd, text, len) != (ssize_t)len)
		return cx_fail(err, errno, "write '%s' to '%s'", text, name);
	return 0;
}

int cx_set_nonblock(int fd, bool on, struct cx_err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return cx_fail(err, errno, "set O_NONBLOCK");
	return 0;
}

int cx_pipe(int *ret_read, int *ret_write, struct cx_err *err)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return cx_fail(err, errno, "pipe");
	*ret_read = p[0];
	*ret_write = p[1];
	return 0;
}

int cx_fds_arrange(const int *fds, unsigned n, int first, struct cx_err *err)
{
	int high[64];

	if (n > CX_LEN(high))
		return cx_refuse(err, CX_INVALID, "%u descriptors to hand over", n);
	/* Everything above the target range first, so that no dup2() lands on one still needed. */
	for (unsigned i = 0; i < n; i++) {
		high[i] = fds[i];
		if (fds[i] >= first + (int)n)
			continue;
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, first + (int)n);
		if (high[i] < 0)
			return cx_fail(err, errno, "duplicate descriptor %d", fds[i]);
	}
	for (unsigned i = 0; i < n; i++)
		if (dup2(high[i], first + (int)i) < 0)
			return cx_fail(err, errno, "place descriptor %d", first + (int)i);
	if (syscall(SYS_close_range, (unsigned)first + n, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return cx_fail(err, errno, "close_range");
	return 0;
}
