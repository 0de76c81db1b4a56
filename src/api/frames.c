/* SPDX-License-Identifier: Apache-2.0 */
#include "api/frames.h"

static const struct {
	enum cx_frame_channel channel;
	uint32_t min, max; /* bytes */
} from_client[] = {
	{ CX_FRAME_STDIN, 0, CX_FRAME_MAX },
	{ CX_FRAME_SIGNAL, 1, 1 },
	{ CX_FRAME_WINDOW, 4, 4 },
};

ssize_t cx_frame_read(const uint8_t *bytes, size_t len, struct cx_frame *ret, struct cx_err *err)
{
	uint32_t size;

	if (len < CX_FRAME_HEADER)
		return 0;
	size = (uint32_t)bytes[1] | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3] << 16 |
	       (uint32_t)bytes[4] << 24;
	for (size_t i = 0; i < CX_LEN(from_client); i++) {
		if (from_client[i].channel != bytes[0])
			continue;
		if (size < from_client[i].min || size > from_client[i].max)
			return cx_refuse(err, CX_INVALID, "a frame of channel %u has %u bytes",
					 bytes[0], size);
		if (len - CX_FRAME_HEADER < size)
			return 0;
		*ret = (struct cx_frame){ .channel = from_client[i].channel,
					  .p = bytes + CX_FRAME_HEADER,
					  .len = size };
		return (ssize_t)(CX_FRAME_HEADER + size);
	}
	return cx_refuse(err, CX_INVALID, "a client sends no frames of channel %u", bytes[0]);
}

void cx_frame_header(uint8_t header[CX_FRAME_HEADER], enum cx_frame_channel channel, size_t len)
{
	header[0] = (uint8_t)channel;
	for (unsigned i = 0; i < 4; i++)
		header[1 + i] = (uint8_t)(len >> (8 * i));
}

int cx_frame_add(struct cx_buf *out, enum cx_frame_channel channel, const void *data, size_t len,
		 struct cx_err *err)
{
	uint8_t header[CX_FRAME_HEADER];

	assert(len <= CX_FRAME_MAX);
	cx_frame_header(header, channel, len);
	if (cx_buf_add(out, header, sizeof header, err) < 0)
		return -err->errnum;
	return cx_buf_add(out, data, len, err);
}
