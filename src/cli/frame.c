/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/frame.h"

int cx_frame_put(struct cx_buf *out, enum cx_channel channel, const void *data, uint32_t len,
		 struct cx_err *err)
{
	const uint8_t header[CX_FRAME_HEADER] = {
		(uint8_t)channel,     (uint8_t)len,	    (uint8_t)(len >> 8),
		(uint8_t)(len >> 16), (uint8_t)(len >> 24),
	};

	assert(len <= CX_FRAME_DATA_MAX);
	/* Room for both first: half a frame in the buffer would spoil all that follow. */
	if (cx_buf_reserve(out, sizeof header + len, err) == NULL)
		return -err->errnum;
	if (cx_buf_add(out, header, sizeof header, err) < 0)
		return -err->errnum;
	return cx_buf_add(out, data, len, err);
}

int cx_frame_put_signal(struct cx_buf *out, int signo, struct cx_err *err)
{
	const uint8_t data = (uint8_t)signo;

	return cx_frame_put(out, CX_CHANNEL_SIGNAL, &data, 1, err);
}

int cx_frame_put_window(struct cx_buf *out, uint16_t rows, uint16_t cols, struct cx_err *err)
{
	const uint8_t data[4] = { (uint8_t)rows, (uint8_t)(rows >> 8), (uint8_t)cols,
				  (uint8_t)(cols >> 8) };

	return cx_frame_put(out, CX_CHANNEL_WINDOW, data, sizeof data, err);
}

int cx_frame_peek(const uint8_t *bytes, size_t len, struct cx_frame *ret, struct cx_err *err)
{
	uint32_t size;

	if (len < CX_FRAME_HEADER)
		return 0;
	size = (uint32_t)bytes[1] | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3] << 16 |
	       (uint32_t)bytes[4] << 24;
	if (size > CX_FRAME_DATA_MAX)
		return cx_refuse(err, CX_INTERNAL, "the server sent a frame of %u bytes", size);
	if (len - CX_FRAME_HEADER < size)
		return 0;
	*ret = (struct cx_frame){ .channel = bytes[0], .len = size, .data = bytes + 5 };
	return (int)(CX_FRAME_HEADER + size);
}
