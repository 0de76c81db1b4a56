/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ERRORS_H
#define CX_API_ERRORS_H

#include "base/buf.h"
#include "base/err.h"

struct cx_jsonw;

/* What a client sees of a failure: one row per kind, so a new kind cannot be forgotten. */
struct cx_error_row {
	enum cx_kind kind;
	unsigned status; /* HTTP */
	const char *why;
};
extern const struct cx_error_row cx_error_rows[CX_KIND_MAX];

unsigned cx_error_status(unsigned kind);

/*
 * The members "detail" (text), "code" (word) and "request_id" for err. A failure of the host (not a
 * refusal) of kind CX_INTERNAL is told by the request's id only and logged with it: its text may
 * name things of the host.
 */
enum { CX_ERROR_TEXT_MAX = sizeof(((struct cx_err *)NULL)->msg) + 128 };
const char *cx_error_text(const struct cx_err *err, const char *request_id,
			  char ret[CX_ERROR_TEXT_MAX]); /* the text alone; returns ret */
void cx_error_write(struct cx_jsonw *w, const struct cx_err *err, const char *request_id);
/* An object of them. */
CX_MUST int cx_error_body(const struct cx_err *err, const char *request_id, struct cx_buf *ret,
			  struct cx_err *failed);

#endif
