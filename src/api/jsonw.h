/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_JSONW_H
#define CX_API_JSONW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Writes one JSON document into a buffer. key is NULL for an element of an array and for the
 * outermost value. Bytes that are not UTF-8 become U+FFFD, so any output of a command can be told.
 * The first failure (the buffer's maximum) is kept and returned by cx_jsonw_finish().
 */
enum { CX_JSONW_DEPTH = 16 };

struct cx_jsonw {
	struct cx_buf *out;
	struct cx_err err;
	unsigned depth;
	char close[CX_JSONW_DEPTH]; /* what ends each open level */
	bool comma;
};

void cx_jsonw_object(struct cx_jsonw *w, const char *key);
void cx_jsonw_array(struct cx_jsonw *w, const char *key);
void cx_jsonw_end(struct cx_jsonw *w); /* of the innermost object or array */
void cx_jsonw_text(struct cx_jsonw *w, const char *key, const char *text); /* NULL is null */
void cx_jsonw_bytes(struct cx_jsonw *w, const char *key, const char *p, size_t len);
void cx_jsonw_int(struct cx_jsonw *w, const char *key, int64_t value);
void cx_jsonw_real(struct cx_jsonw *w, const char *key, double value); /* finite */
void cx_jsonw_bool(struct cx_jsonw *w, const char *key, bool value);
void cx_jsonw_time(struct cx_jsonw *w, const char *key, int64_t ms); /* 0 is null */
void cx_jsonw_null(struct cx_jsonw *w, const char *key);
/* A whole JSON value that was made by this module or checked by cx_json_parse(). */
void cx_jsonw_raw(struct cx_jsonw *w, const char *key, const char *json);
CX_MUST int cx_jsonw_finish(struct cx_jsonw *w, struct cx_err *err);

/* Unix milliseconds as ISO 8601 in UTC with milliseconds. */
void cx_time_text(int64_t ms, char ret[32]);

#endif
