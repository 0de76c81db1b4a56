/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_DEMAND_H
#define CX_ENGINE_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How many blanks to keep ready, by what was asked for lately: one more for each create that found
 * none, and after each period less by half of those that were never needed in it. Between bounds;
 * where they are the same it is that many, always. No clock and no timer: those are pool.c's.
 */
enum {
	CX_DEMAND_MIN = 4,
	CX_DEMAND_MAX = 64,
	CX_DEMAND_MEMORY_PART = 64, /* of the host's memory, that blanks may take */
	CX_BLANK_BYTES = 512 << 10, /* what one takes, kernel memory included (ARCHITECTURE.md) */
};

struct cx_demand {
	unsigned min, max;
	unsigned target;
	unsigned unused; /* blanks that were never needed in this period */
};

void cx_demand_open(struct cx_demand *ret, unsigned min, unsigned max);
/* The most that a host with so much memory keeps; at least CX_DEMAND_MIN. */
unsigned cx_demand_most(uint64_t memory_bytes);
/* One is asked for, and so many were ready before. */
void cx_demand_asked(struct cx_demand *demand, unsigned ready);
/* A period is over. False: it is at its least, so no other period need be looked at. */
bool cx_demand_period(struct cx_demand *demand);

#endif
