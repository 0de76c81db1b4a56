/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_PROGRESS_H
#define CX_CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

/*
 * What a person sees of a transfer. Live, one line per layer and one for all of them are drawn and
 * drawn again in place; where they do not all fit, those of the layers that move. Plain, a line is
 * written when a layer comes into another phase. Everything is composed into a buffer: this module
 * writes to nobody and knows the time only from its caller.
 */
enum cx_progress_style { CX_PROGRESS_NONE, CX_PROGRESS_PLAIN, CX_PROGRESS_LIVE };

enum { CX_PROGRESS_LAYERS_MAX = 512, CX_PROGRESS_FRAME_MS = 100 };

struct cx_progress_layer {
	char name[13];	/* of its digest, printable */
	char phase[16]; /* "": never heard of; printable */
	uint64_t bytes, total;
	uint64_t moved, to_move; /* the same, of transfers only */
	uint64_t mark_bytes, mark_ms;
	double rate; /* bytes per second, smoothed */
};

struct cx_progress { /* zero it but for the style */
	enum cx_progress_style style;
	unsigned rows, cols; /* of the terminal; may change at any time */
	char text[128];	     /* what goes on while no layer is known */
	unsigned n;	     /* layers */
	struct cx_progress_layer layers[CX_PROGRESS_LAYERS_MAX];
	unsigned drawn; /* lines on the terminal that are ours */
	uint64_t drawn_ms;
	bool dirty;
};

/* Live where fd is a terminal that can do it and NO_COLOR is not set, else plain. */
enum cx_progress_style cx_progress_style_of(int fd);

/* Adds to out what is to be written about one event of the server's. */
CX_MUST int cx_progress_event(struct cx_progress *p, const json_t *event, uint64_t now_ms,
			      struct cx_buf *out, struct cx_err *err);
/* The same for its last state, after which other text may follow. */
CX_MUST int cx_progress_end(struct cx_progress *p, uint64_t now_ms, struct cx_buf *out,
			    struct cx_err *err);

#endif
