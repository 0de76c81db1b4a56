/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FRAMING_H
#define CX_API_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where the body of a message of HTTP ends. Its bytes pass as they are; only what belongs to the
 * body passes, and chunks that are not exactly as RFC 9112 has them end it as broken, so that
 * nobody behind us can find another end than we do.
 */
enum cx_framing_kind {
	CX_FRAMED_EMPTY,
	CX_FRAMED_LENGTH,
	CX_FRAMED_CHUNKS,
	CX_FRAMED_TO_END, /* of the connection */
};

enum { CX_FRAMING_EXTRA_MAX = 8192 }; /* bytes of extensions of one chunk, and of all trailers */

struct cx_framing {
	enum cx_framing_kind kind;
	uint64_t left;	  /* of LENGTH, and of a chunk's data */
	bool no_trailers; /* fields behind the chunks are refused */
	bool done, broken;
	unsigned state, extra, digits; /* private; 0 at the beginning */
};

/* An empty body and one of length 0 are done at once. */
static inline struct cx_framing cx_framing_of(enum cx_framing_kind kind, uint64_t length)
{
	return (struct cx_framing){ .kind = kind,
				    .left = length,
				    .done = kind == CX_FRAMED_EMPTY ||
					    (kind == CX_FRAMED_LENGTH && length == 0) };
}

/* How many of these bytes, from the first one on, belong to it. Sets done or broken. */
size_t cx_framing_take(struct cx_framing *f, const char *bytes, size_t len);

#endif
