/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <string.h>

char *cx_buf_reserve(struct cx_buf *buf, size_t len, struct cx_err *err)
{
	size_t want, size = buf->size > 0 ? buf->size : 256;
	char *p;

	if (len > buf->max || buf->len > buf->max - len) {
		(void)cx_refuse(err, CX_LIMIT, "more than %zu bytes", buf->max);
		return NULL;
	}
	want = buf->len + len;
	while (size < want)
		size *= 2;
	if (size != buf->size) {
		p = realloc(buf->p, size);
		if (p == NULL) {
			(void)cx_fail(err, ENOMEM, "buffer of %zu bytes", size);
			return NULL;
		}
		buf->p = p;
		buf->size = size;
	}
	return buf->p + buf->len;
}

int cx_buf_add(struct cx_buf *buf, const void *data, size_t len, struct cx_err *err)
{
	char *to = cx_buf_reserve(buf, len, err);

	if (to == NULL)
		return -err->errnum;
	if (len > 0)
		memcpy(to, data, len);
	buf->len += len;
	return 0;
}

void cx_buf_drop_front(struct cx_buf *buf, size_t len)
{
	assert(len <= buf->len);
	if (len > 0 && len < buf->len)
		memmove(buf->p, buf->p + len, buf->len - len);
	buf->len -= len;
}

void cx_buf_free(struct cx_buf *buf)
{
	free(buf->p);
	buf->p = NULL;
	buf->len = buf->size = 0;
}

void cx_buf_wipe(struct cx_buf *buf)
{
	if (buf->p != NULL)
		explicit_bzero(buf->p, buf->size);
	cx_buf_free(buf);
}
