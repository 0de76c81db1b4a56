/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include <string.h>

static int give(struct cx_lines *l, const char *text, size_t len, struct cx_err *err)
{
	return len > 0 ? l->line(l->arg, text, len, err) : 0;
}

/* The first line of a piece may have begun in the one before. */
static int give_joined(struct cx_lines *l, const char *bytes, size_t len, struct cx_err *err)
{
	if (l->rest.len == 0)
		return give(l, bytes, len, err);
	if (cx_buf_add(&l->rest, bytes, len, err) < 0 || give(l, l->rest.p, l->rest.len, err) < 0)
		return -err->errnum;
	l->rest.len = 0;
	return 0;
}

int cx_lines_take(void *lines, const char *bytes, size_t len, struct cx_err *err)
{
	struct cx_lines *l = lines;
	const char *end;

	l->rest.max = CX_LINE_MAX;
	while ((end = memchr(bytes, '\n', len)) != NULL) {
		size_t n = (size_t)(end - bytes);

		if (give_joined(l, bytes, n, err) < 0)
			return -err->errnum;
		bytes += n + 1;
		len -= n + 1;
	}
	return cx_buf_add(&l->rest, bytes, len, err);
}

int cx_lines_end(struct cx_lines *l, struct cx_err *err)
{
	if (l->rest.len > 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the last line of the answer has no end");
	return 0;
}

void cx_lines_free(struct cx_lines *l)
{
	cx_buf_free(&l->rest);
}
