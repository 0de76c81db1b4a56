/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ring.h"

#include <string.h>

void cx_ring_write(struct cx_ring *ring, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (len > CX_RING_SIZE) { /* only the tail survives anyway */
		ring->end += len - CX_RING_SIZE;
		p += len - CX_RING_SIZE;
		len = CX_RING_SIZE;
	}
	while (len > 0) {
		size_t at = ring->end % CX_RING_SIZE;
		size_t n = len < CX_RING_SIZE - at ? len : CX_RING_SIZE - at;

		memcpy(ring->bytes + at, p, n);
		ring->end += n;
		p += n;
		len -= n;
	}
}

size_t cx_ring_read(const struct cx_ring *ring, uint64_t *offset, void *out, size_t max)
{
	uint64_t first = ring->end > CX_RING_SIZE ? ring->end - CX_RING_SIZE : 0;
	uint8_t *to = out;
	size_t len, done = 0;

	if (*offset < first)
		*offset = first;
	if (*offset > ring->end)
		*offset = ring->end;
	len = ring->end - *offset < max ? (size_t)(ring->end - *offset) : max;
	while (done < len) {
		size_t at = (*offset + done) % CX_RING_SIZE;
		size_t n = len - done < CX_RING_SIZE - at ? len - done : CX_RING_SIZE - at;

		memcpy(to + done, ring->bytes + at, n);
		done += n;
	}
	return len;
}
