/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/content.h"

#include "agent/fileop.h"
#include "base/fd.h"

enum { PIECE = 64 << 10 };

static int read_exactly(int fd, void *to, size_t len, struct cx_err *err)
{
	ssize_t n = cx_read_upto(fd, to, len, err);

	if (n >= 0 && (size_t)n < len)
		return cx_refuse(err, CX_CONFLICT, "the content broke off");
	return n < 0 ? (int)n : 0;
}

int cx_content_more(struct cx_content *c, struct cx_err *err)
{
	uint8_t length[4];
	struct cx_reader r = { .p = length, .left = sizeof length };

	if (c->left > 0 || c->ended)
		return c->left > 0;
	if (read_exactly(c->data, length, sizeof length, err) < 0)
		return -err->errnum;
	if (!cx_get_u32(&r, &c->left, CX_FILE_CHUNK_MAX))
		return cx_refuse(err, CX_INVALID, "a chunk is too long");
	c->ended = c->left == 0;
	return !c->ended;
}

ssize_t cx_content_read(struct cx_content *c, void *to, size_t len, struct cx_err *err)
{
	size_t done = 0;

	while (done < len) {
		int more = cx_content_more(c, err);
		size_t n = c->left < len - done ? c->left : len - done;

		if (more <= 0)
			return more < 0 ? more : (ssize_t)done;
		if (read_exactly(c->data, (char *)to + done, n, err) < 0)
			return -err->errnum;
		c->left -= (uint32_t)n;
		done += n;
	}
	return (ssize_t)done;
}

int64_t cx_content_save(struct cx_content *c, int fd, const char *name, uint64_t max,
			struct cx_err *err)
{
	static char piece[PIECE];
	uint64_t done = 0;
	ssize_t n;

	do {
		n = cx_content_read(c, piece, max - done < PIECE ? (size_t)(max - done) : PIECE,
				    err);
		if (n < 0)
			return n;
		if (cx_write_all(fd, piece, (size_t)n, err) < 0)
			return cx_fileop_fail(err->errnum, "write", name, err);
		done += (uint64_t)n;
	} while (n > 0 && done < max);
	return (int64_t)done;
}
