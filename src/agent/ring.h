/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_RING_H
#define CX_AGENT_RING_H

#include <stddef.h>
#include <stdint.h>

/* The last CX_RING_SIZE bytes of an endless stream. Zeroed is empty; pages are touched as it fills.
 */
enum { CX_RING_SIZE = 256 * 1024 };

struct cx_ring {
	uint64_t end; /* bytes written so far; offsets count from the stream's first byte */
	uint8_t bytes[CX_RING_SIZE];
};

void cx_ring_write(struct cx_ring *ring, const void *data, size_t len);

/*
 * Copies what is kept from *offset on, at most max bytes, and returns how many. *offset moves
 * forward to the first byte that is still there; beyond the end it comes back to the end.
 */
size_t cx_ring_read(const struct cx_ring *ring, uint64_t *offset, void *out, size_t max);

#endif
