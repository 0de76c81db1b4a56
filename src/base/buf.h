/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_BUF_H
#define CX_BASE_BUF_H

#include <stdint.h>

#include "base/err.h"

/* Bytes that grow up to a stated maximum. A zeroed struct with max set is an empty buffer. */
struct cx_buf {
	char *p;
	size_t len, size;
	size_t max; /* bytes; reaching it is an error of cx_buf_add(), not a silent cut */
};

CX_MUST int cx_buf_add(struct cx_buf *buf, const void *data, size_t len, struct cx_err *err);
/* Makes room for len more bytes behind buf->len and returns it; the caller adds to buf->len. */
CX_MUST char *cx_buf_reserve(struct cx_buf *buf, size_t len, struct cx_err *err);
void cx_buf_drop_front(struct cx_buf *buf, size_t len);
void cx_buf_free(struct cx_buf *buf); /* leaves it empty and usable; usable with CX_AUTO() */
void cx_buf_wipe(struct cx_buf *buf); /* the same for secrets, which are overwritten first */

#endif
