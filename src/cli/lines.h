/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_LINES_H
#define CX_CLI_LINES_H

#include "base/buf.h"

/* Lines out of bytes that come in pieces. */
enum { CX_LINE_MAX = 16 << 20 };

struct cx_lines { /* zero it, set line and arg */
	/* One line without its end, len bytes, not empty; -errno breaks off. */
	int (*line)(void *arg, const char *text, size_t len, struct cx_err *err);
	void *arg;
	struct cx_buf rest; /* a line whose end has not come */
};

/* A piece of any length; lines is a struct cx_lines, so that this can be the take of a cx_call. */
CX_MUST int cx_lines_take(void *lines, const char *bytes, size_t len, struct cx_err *err);
/* The bytes are at their end: refuses a last line that has none. */
CX_MUST int cx_lines_end(struct cx_lines *lines, struct cx_err *err);
void cx_lines_free(struct cx_lines *lines); /* for CX_AUTO() */

#endif
