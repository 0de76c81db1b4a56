/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_CAPACITY_H
#define CX_ENGINE_CAPACITY_H

#include "engine/pool.h"

/*
 * Is there room for one more sandbox? What the limits of those that exist add up to is compared
 * with what the host has, less a reserve, times what the operator allows to be promised more than
 * once; and whatever was promised, the host's free memory, processes and disk stay above their
 * reserves.
 */
enum { CX_CAPACITY_GOOD_MS = 1000 };
enum cx_resource {
	CX_RESOURCE_SANDBOXES,
	CX_RESOURCE_FILES, /* descriptors of caissond */
	CX_RESOURCE_CPU,   /* thousandths of a core */
	CX_RESOURCE_MEMORY,
	CX_RESOURCE_DISK,
	CX_RESOURCE_PIDS,
	CX_RESOURCE_MAX,
};

struct cx_resource_state {
	uint64_t total;	   /* what the host has */
	uint64_t reserve;  /* what it keeps */
	uint64_t limit;	   /* what may be promised; 0: no bound */
	uint64_t promised; /* what the sandboxes' limits add up to, those in the making included */
	uint64_t left;	   /* what nobody uses now; UINT64_MAX: not asked for */
};

struct cx_capacity {
	struct cx_resource_state of[CX_RESOURCE_MAX];
	unsigned files_each;  /* descriptors of a sandbox that runs ... */
	unsigned files_blank; /* ... or does not yet */
	bool on_disk;	      /* what sandboxes write, unless one asks for memory */
	bool bounded;	      /* by a control group around all of them */
	uint64_t looked_ms;   /* when the host was looked at; 0: not yet */
};

/* What does not change while the host is up. */
void cx_capacity_open(const struct cx_host *host, struct cx_capacity *ret);
/* The rest: what is promised and what is left. */
void cx_capacity_look(const struct cx_host *host, const struct cx_pool *pool,
		      struct cx_capacity *capacity);
/*
 * The same, but what the host has left is what the last look saw, if that is less than
 * CX_CAPACITY_GOOD_MS ago and it saw twice the reserves: far from them, a create does not wait for
 * the kernel to count. What is promised is always exact.
 */
void cx_capacity_glance(const struct cx_host *host, const struct cx_pool *pool,
			struct cx_capacity *capacity);

/*
 * Room for one more with this plan? CX_INVALID when there never will be, CX_BUSY when there is none
 * now: those who wait for sandboxes to end will see it.
 */
CX_MUST int cx_capacity_check(const struct cx_capacity *capacity, const struct cx_claim_plan *plan,
			      struct cx_err *err);

/* (total - reserve) times factor, in thousandths; 0: no bound. The pure part. */
uint64_t cx_capacity_limit(uint64_t total, uint64_t reserve, uint64_t factor_milli);

#endif
