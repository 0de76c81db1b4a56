/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_FRAME_H
#define CX_CLI_FRAME_H

#include <stdint.h>

#include "base/buf.h"

/*
 * Frames of an exec stream (ARCHITECTURE.md, "HTTP API"):
 *
 *	u8 channel | u32 little-endian length | length bytes
 */
enum cx_channel {
	CX_CHANNEL_STDIN = 0, /* length 0 is end of file */
	CX_CHANNEL_STDOUT = 1,
	CX_CHANNEL_STDERR = 2,
	CX_CHANNEL_SIGNAL = 16,	 /* u8 signal number */
	CX_CHANNEL_WINDOW = 17,	 /* u16 rows, u16 columns */
	CX_CHANNEL_STARTED = 32, /* JSON */
	CX_CHANNEL_EXITED = 33,	 /* JSON, the last frame */
	CX_CHANNEL_ERROR = 34,	 /* JSON, the last frame */
};

enum { CX_FRAME_HEADER = 5, CX_FRAME_DATA_MAX = 65536 };

struct cx_frame { /* a view into the bytes it was read from */
	uint8_t channel;
	uint32_t len;
	const uint8_t *data;
};

/* Appends one frame; len is at most CX_FRAME_DATA_MAX. */
CX_MUST int cx_frame_put(struct cx_buf *out, enum cx_channel channel, const void *data,
			 uint32_t len, struct cx_err *err);
CX_MUST int cx_frame_put_signal(struct cx_buf *out, int signo, struct cx_err *err);
CX_MUST int cx_frame_put_window(struct cx_buf *out, uint16_t rows, uint16_t cols,
				struct cx_err *err);

/*
 * Looks at the first frame of len bytes. Returns the bytes it takes, 0 when it is not complete yet,
 * -errno for a length that no frame may have (the stream is then lost).
 */
CX_MUST int cx_frame_peek(const uint8_t *bytes, size_t len, struct cx_frame *ret,
			  struct cx_err *err);

#endif
