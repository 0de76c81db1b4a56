/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_GZIP_H
#define CX_API_GZIP_H

#include <stdbool.h>

#include "base/buf.h"

/* The door to zlib: answers made smaller for clients that ask for it, and what clients packed. */
enum {
	CX_GZIP_MIN = 4 << 10, /* bytes; below, nothing is gained */
	CX_GZIP_MAX = 4 << 20, /* above, everybody else would wait for it: 30 ms at this size */
};

/* Does an Accept-Encoding header (or NULL) take gzip? By name or by '*', unless with q=0. */
bool cx_gzip_is_accepted(const char *accept_encoding);

/* Replaces the bytes of buf. When it fails or gains nothing, buf is as it was and false comes. */
bool cx_gzip_pack(struct cx_buf *buf);

/* Adds what was packed to out, whose max bounds it: CX_LIMIT beyond. All of data is one gzip file.
 */
CX_MUST int cx_gzip_unpack(const char *data, size_t len, struct cx_buf *out, struct cx_err *err);

#endif
