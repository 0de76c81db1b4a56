/* SPDX-License-Identifier: Apache-2.0 */
#include "image/outfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_OUT = 8 << 20 };

void cx_outfile_init(struct cx_outfile *out, int fd)
{
	out->fd = fd;
	out->at = out->unwritten = 0;
	out->len = 0;
}

static int write_at(int fd, uint64_t at, const void *data, size_t len, struct cx_err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "write the layer");
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int cx_outfile_flush(struct cx_outfile *out, struct cx_err *err)
{
	if (write_at(out->fd, out->at, out->bytes, out->len, err) < 0)
		return -err->errnum;
	out->unwritten += out->len;
	out->at += out->len;
	out->len = 0;
	if (out->unwritten >= WRITE_OUT) { /* so that little is left to wait for at the end */
		out->unwritten = 0;
		(void)sync_file_range(out->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
	return 0;
}

int cx_outfile_put(struct cx_outfile *out, uint64_t at, const void *data, size_t len,
		   struct cx_err *err)
{
	uint64_t end = out->at + out->len;
	size_t gap = at >= end && at - end < CX_OUTFILE_BLOCK ? (size_t)(at - end) : 0;

	if (len == 0)
		return 0;
	if (out->len == 0 || end + gap != at || gap + len > CX_OUTFILE_GATHER - out->len) {
		if (cx_outfile_flush(out, err) < 0)
			return -err->errnum;
		out->at = at;
		gap = 0;
	}
	assert(len <= CX_OUTFILE_GATHER);
	memset(out->bytes + out->len, 0, gap);
	memcpy(out->bytes + out->len + gap, data, len);
	out->len += gap + len;
	return 0;
}

/* Whether all of it is gathered still. */
static bool has(const struct cx_outfile *out, uint64_t at, size_t len)
{
	return at >= out->at && at - out->at <= out->len &&
	       len <= out->len - (size_t)(at - out->at);
}

int cx_outfile_patch(struct cx_outfile *out, uint64_t at, const void *data, size_t len,
		     struct cx_err *err)
{
	if (has(out, at, len)) {
		memcpy(out->bytes + (at - out->at), data, len);
		return 0;
	}
	if (cx_outfile_flush(out, err) < 0)
		return -err->errnum;
	return write_at(out->fd, at, data, len, err);
}

int cx_outfile_read(struct cx_outfile *out, uint64_t at, void *ret, size_t len, struct cx_err *err)
{
	uint8_t *p = ret;

	if (has(out, at, len)) {
		memcpy(ret, out->bytes + (at - out->at), len);
		return 0;
	}
	if (at < out->at + out->len && out->at < at + len && cx_outfile_flush(out, err) < 0)
		return -err->errnum;
	while (len > 0) {
		ssize_t n = pread(out->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read the layer");
		if (n == 0) { /* put as zeros that nothing was written behind */
			memset(p, 0, len);
			return 0;
		}
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int cx_outfile_cut(struct cx_outfile *out, uint64_t at, struct cx_err *err)
{
	if (at >= out->at) {
		out->len = at - out->at < out->len ? (size_t)(at - out->at) : out->len;
		return 0;
	}
	out->at = at;
	out->len = 0;
	return ftruncate(out->fd, (off_t)at) < 0 ? cx_fail(err, errno, "cut the layer") : 0;
}
