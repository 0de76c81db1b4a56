/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "agent/fileop.h"
#include "base/fd.h"

/* Files of /proc have no size: all of one is read first, as long as it is not larger than this. */
enum { UNSIZED_MAX = 16 << 20, CHUNK = 65536 };

/* Looked at before it is opened, which alone can do something to a device; and again behind. */
static int open_regular(const char *path, struct stat *st, int *ret, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	if (stat(path, st) < 0)
		return cx_fileop_fail(errno, "open", path, err);
	if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			return cx_fileop_fail(errno, "open", path, err);
		if (fstat(fd, st) < 0)
			return cx_fileop_fail(errno, "look at", path, err);
	}
	if (!S_ISREG(st->st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s, not a regular file", path,
				 cx_fileop_what(st->st_mode));
	*ret = cx_take_fd(&fd);
	return 0;
}

/* The part of a file of info->size bytes that m asks for. */
static void set_window(const struct cx_msg_file_get *m, struct cx_msg_file_info *info)
{
	uint64_t offset = m->offset < info->size ? m->offset : info->size;

	info->offset = m->tail ? info->size - offset : offset;
	info->length = info->size - info->offset;
	if (m->length < info->length)
		info->length = m->length;
}

/* Reads up to the end, or to where it would have to wait. */
static ssize_t read_unsized(int fd, const char *path, char *to, struct cx_err *err)
{
	size_t n = 0;

	while (n < UNSIZED_MAX) {
		ssize_t got = read(fd, to + n, UNSIZED_MAX - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EAGAIN)
			return cx_fileop_fail(errno, "read", path, err);
		if (got <= 0)
			return (ssize_t)n;
		n += (size_t)got;
	}
	return cx_refuse(err, CX_LIMIT, "'%s' has no size and more than %d bytes", path,
			 UNSIZED_MAX);
}

static int send_unsized(int fd, const char *path, const struct cx_msg_file_get *m,
			struct cx_msg_file_info *info, const struct cx_fileop_io *io,
			struct cx_err *err)
{
	cx_autofree char *all = malloc(UNSIZED_MAX);
	ssize_t n;

	if (all == NULL)
		return cx_fail(err, ENOMEM, "read '%s'", path);
	n = read_unsized(fd, path, all, err);
	if (n < 0)
		return -err->errnum;
	info->size = (uint64_t)n;
	set_window(m, info);
	if (cx_fileop_ready(io, info, err) < 0)
		return -err->errnum;
	return cx_write_all(io->data, all + info->offset, info->length, err);
}

/* Exactly as many bytes as were announced: a file that grows meanwhile is read no further. */
static int send_window(int fd, const char *path, const struct cx_msg_file_info *info,
		       const struct cx_fileop_io *io, struct cx_err *err)
{
	static char chunk[CHUNK];

	for (uint64_t done = 0; done < info->length;) {
		uint64_t left = info->length - done;
		ssize_t n =
			pread(fd, chunk, left < CHUNK ? left : CHUNK, (off_t)(info->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fileop_fail(errno, "read", path, err);
		if (n == 0)
			return cx_refuse(err, CX_CONFLICT, "'%s' became shorter while it was read",
					 path);
		if (cx_write_all(io->data, chunk, (size_t)n, err) < 0)
			return -err->errnum;
		done += (uint64_t)n;
	}
	return 0;
}

int cx_fileop_get(const struct cx_msg_file_get *m, const struct cx_fileop_io *io,
		  struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	char path[PATH_MAX];
	struct cx_msg_file_info info;
	struct stat st;

	if (cx_fileop_path(m->path, path, err) < 0 || open_regular(path, &st, &fd, err) < 0)
		return -err->errnum;
	info = cx_fileop_info(&st);
	if (st.st_size == 0)
		return send_unsized(fd, path, m, &info, io, err);
	set_window(m, &info);
	if (cx_fileop_ready(io, &info, err) < 0)
		return -err->errnum;
	return send_window(fd, path, &info, io, err);
}
