/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRIME_CONNECT_H
#define CX_API_PRIME_CONNECT_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * The Connect protocol: what is around the messages of the newest clients' commands. Pure. A stream
 * is a sequence of envelopes: one byte of flags, the length as u32 big-endian, that many bytes. The
 * last one of an answer is flagged CX_CONNECT_END and holds JSON.
 */
enum {
	CX_CONNECT_PACKED = 1, /* flag: gzip */
	CX_CONNECT_END = 2,    /* flag */
	CX_CONNECT_HEADER = 5,
	CX_CONNECT_MESSAGE_MAX = 4 << 20, /* bytes, unpacked */
	CX_CONNECT_END_MAX = 8192,
};

/* What a client sees of a failure: one row per kind. */
struct cx_connect_row {
	enum cx_kind kind;
	const char *code;
	unsigned status; /* HTTP, of a call with one answer */
	const char *why;
};
extern const struct cx_connect_row cx_connect_rows[CX_KIND_MAX];

enum cx_connect_encoding { CX_CONNECT_IDENTITY, CX_CONNECT_GZIP };

/* A (Connect-)Content-Encoding header, or NULL; CX_INVALID for what we do not unpack. */
CX_MUST int cx_connect_encoding(const char *header, enum cx_connect_encoding *ret,
				struct cx_err *err);

/* A Connect-Timeout-Ms header, or NULL: *ret_ms is 0 without one, else 1 .. UINT32_MAX. */
CX_MUST int cx_connect_timeout(const char *header, uint32_t *ret_ms, struct cx_err *err);

/*
 * The one message of a request: of a stream, where it stands in the only envelope, and of a call
 * with one answer, where it is the whole body. Unpacked into ret, an empty buffer.
 */
CX_MUST int cx_connect_stream_message(const char *body, size_t len,
				      enum cx_connect_encoding encoding, struct cx_buf *ret,
				      struct cx_err *err);
CX_MUST int cx_connect_message(const char *body, size_t len, enum cx_connect_encoding encoding,
			       struct cx_buf *ret, struct cx_err *err);

/* An envelope's header for a message of len bytes. */
void cx_connect_header(char to[CX_CONNECT_HEADER], unsigned flags, size_t len);

/* Adds the last envelope: why is NULL when all went well. */
CX_MUST int cx_connect_end(struct cx_buf *out, const struct cx_err *why, const char *request_id,
			   struct cx_err *err);
/* The JSON body of a call that failed. */
CX_MUST int cx_connect_error(struct cx_buf *out, const struct cx_err *why, const char *request_id,
			     struct cx_err *err);

#endif
