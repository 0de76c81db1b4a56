/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FRAMES_H
#define CX_API_FRAMES_H

#include <sys/types.h>

#include "base/buf.h"

/* Frames of an exec stream: u8 channel, u32 little-endian length, bytes (ARCHITECTURE.md). */
enum { CX_FRAME_HEADER = 5, CX_FRAME_MAX = 65536 };

enum cx_frame_channel {
	CX_FRAME_STDIN = 0, /* from the client; empty: end of file */
	CX_FRAME_SIGNAL = 16,
	CX_FRAME_WINDOW = 17,
	CX_FRAME_STDOUT = 1, /* to the client */
	CX_FRAME_STDERR = 2,
	CX_FRAME_STARTED = 32,
	CX_FRAME_EXITED = 33,
	CX_FRAME_ERROR = 34,
};

struct cx_frame { /* points into the bytes it was read from */
	enum cx_frame_channel channel;
	const uint8_t *p;
	uint32_t len;
};

/*
 * The first frame of what a client sent. Returns its whole size in bytes; 0 when some are missing;
 * -EINVAL for a channel or a length that no client may send.
 */
CX_MUST ssize_t cx_frame_read(const uint8_t *bytes, size_t len, struct cx_frame *ret,
			      struct cx_err *err);
CX_MUST int cx_frame_add(struct cx_buf *out, enum cx_frame_channel channel, const void *data,
			 size_t len, struct cx_err *err);
/* Fills the header of a frame whose bytes are in place behind it. */
void cx_frame_header(uint8_t header[CX_FRAME_HEADER], enum cx_frame_channel channel, size_t len);

#endif
