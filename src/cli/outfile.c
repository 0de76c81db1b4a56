/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

enum { AHEAD = 8 << 20 }; /* bytes that come while as many before them go to the disk */

/* The name of a file that is being written: found again by its owner if all else fails. */
static int name_unfinished(struct cx_outfile *out, struct cx_err *err)
{
	const char *slash = strrchr(out->path, '/');
	int dir = slash != NULL ? (int)(slash + 1 - out->path) : 0;

	if (asprintf(&out->unfinished, "%.*s.%s.%d.unfinished", dir, out->path, out->path + dir,
		     (int)getpid()) < 0) {
		out->unfinished = NULL;
		return cx_fail(err, ENOMEM, "file name");
	}
	return 0;
}

static int open_file(struct cx_outfile *out, const char *path, struct cx_err *err)
{
	/* A link stays one, and the file that it means is replaced. */
	out->path = realpath(path, NULL);
	if (out->path == NULL)
		out->path = strdup(path);
	if (out->path == NULL)
		return cx_fail(err, ENOMEM, "file name");
	if (name_unfinished(out, err) < 0)
		return -err->errnum;
	out->fd = open(out->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (out->fd < 0) {
		cx_freep(&out->unfinished); /* not ours to be removed */
		return cx_fail(err, errno, "make a file beside '%.200s'", path);
	}
	return 0;
}

static int open_any(struct cx_outfile *out, const char *path, struct cx_err *err)
{
	struct stat st;

	if (path == NULL || strcmp(path, "-") == 0) {
		out->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return out->fd < 0 ? cx_fail(err, errno, "write to standard output") : 0;
	}
	if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
		return open_file(out, path, err);
	out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return out->fd < 0 ? cx_fail(err, errno, "open '%.200s'", path) : 0;
}

int cx_outfile_open(struct cx_outfile *ret, const char *path, struct cx_err *err)
{
	CX_AUTO(cx_outfile_free) struct cx_outfile out = { .fd = -EBADF };

	if (open_any(&out, path, err) < 0)
		return -err->errnum;
	if (isatty(out.fd))
		return cx_refuse(err, CX_INVALID,
				 "an archive is not written to a terminal; give --output FILE or "
				 "a pipe");
	*ret = out;
	out = (struct cx_outfile){ .fd = -EBADF };
	return 0;
}

bool cx_outfile_leaves_traces(const struct cx_outfile *out)
{
	return out->unfinished != NULL;
}

/* What the end waits for goes to the disk meanwhile; where it cannot, the end does it all. */
static void write_out(struct cx_outfile *out, size_t len)
{
	out->waiting += len;
	if (out->unfinished == NULL || out->waiting < AHEAD)
		return;
	(void)sync_file_range(out->fd, out->going, (off_t)out->waiting, SYNC_FILE_RANGE_WRITE);
	out->going += (off_t)out->waiting;
	out->waiting = 0;
}

int cx_outfile_take(void *arg, const char *bytes, size_t len, struct cx_err *err)
{
	struct cx_outfile *out = arg;

	if (cx_write_all(out->fd, bytes, len, err) < 0)
		return cx_wrap(err, "write '%.200s'", out->path != NULL ? out->path : "-");
	write_out(out, len);
	return 0;
}

int cx_outfile_finish(struct cx_outfile *out, struct cx_err *err)
{
	if (out->unfinished == NULL)
		return 0;
	/* Else the name could outlive a power cut and the bytes not. */
	if (fsync(out->fd) < 0)
		return cx_fail(err, errno, "write '%.200s'", out->path);
	if (rename(out->unfinished, out->path) < 0)
		return cx_fail(err, errno, "give '%.200s' its name", out->path);
	cx_freep(&out->unfinished);
	return 0;
}

void cx_outfile_free(struct cx_outfile *out)
{
	cx_close(&out->fd);
	if (out->unfinished != NULL)
		(void)unlink(out->unfinished);
	cx_freep(&out->unfinished);
	cx_freep(&out->path);
}
