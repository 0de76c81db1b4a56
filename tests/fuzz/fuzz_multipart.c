/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart/form-data: a byte that says in which steps it comes, the type up to a line's end, the
 * body. However it is cut, the same file comes out of it, or nothing; in no more pieces than
 * promised.
 */
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned pieces; /* of what was fed at once */

static int keep(void *arg, const char *p, size_t len, struct cx_err *err)
{
	if (len == 0 || ++pieces > CX_MULTIPART_PIECES)
		abort();
	return cx_buf_add(arg, p, len, err);
}

static int parse(const char *type, const char *body, size_t len, size_t step, struct cx_buf *got)
{
	CX_AUTO(cx_multipart_close)
	struct cx_multipart mp = { .name = "file", .data = keep, .arg = got };
	struct cx_err err = { 0 };

	if (cx_multipart_open(&mp, type, &err) < 0)
		return -err.errnum;
	for (size_t i = 0; i < len; i += step) {
		pieces = 0;
		if (cx_multipart_feed(&mp, body + i, step < len - i ? step : len - i, &err) < 0)
			return -err.errnum;
	}
	return cx_multipart_end(&mp, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CX_AUTO(cx_buf_free) struct cx_buf whole = { .max = size }, cut = { .max = size };
	const char *text = (const char *)data + 1;
	char type[256];
	size_t len;
	int r;

	if (size < 1)
		return 0;
	len = strnlen(text, size - 1);
	if (memchr(text, '\n', len) != NULL)
		len = (size_t)((const char *)memchr(text, '\n', len) - text);
	if (len >= sizeof type || 1 + len == size)
		return 0;
	memcpy(type, text, len);
	type[len] = '\0';
	text += len + 1;
	len = size - len - 2;
	r = parse(type, text, len, len + 1, &whole);
	if ((r == 0) != (parse(type, text, len, 1 + data[0], &cut) == 0))
		abort();
	if (r == 0 &&
	    (whole.len != cut.len || (whole.len > 0 && memcmp(whole.p, cut.p, whole.len) != 0)))
		abort();
	return 0;
}
