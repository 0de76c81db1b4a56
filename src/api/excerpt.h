/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXCERPT_H
#define CX_API_EXCERPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * What is stored of a stream: all of it, or where it is longer its first CX_EXCERPT_HEAD bytes and
 * its newest CX_EXCERPT_TAIL. Zeroed it is empty.
 */
enum { CX_EXCERPT_HEAD = 8 << 10, CX_EXCERPT_TAIL = 24 << 10 };

struct cx_excerpt {
	struct cx_buf kept; /* both, one behind the other */
	uint64_t bytes;	    /* of the stream so far */
	bool cut;	    /* what came behind them could not be read */
};

void cx_excerpt_clear(struct cx_excerpt *excerpt); /* for CX_AUTO() */

/* What comes next; offset is where in the stream it begins, no less than ->bytes. */
CX_MUST int cx_excerpt_add(struct cx_excerpt *excerpt, uint64_t offset, const char *p, size_t len,
			   struct cx_err *err);

/*
 * Shows what is stored from *offset on, in one piece, which may be empty at the end only. *offset
 * moves forward over what is not there.
 */
void cx_excerpt_read(const struct cx_excerpt *excerpt, uint64_t *offset, const char **ret_p,
		     size_t *ret_len);

#endif
