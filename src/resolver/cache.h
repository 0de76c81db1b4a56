/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_CACHE_H
#define CX_RESOLVER_CACHE_H

#include "resolver/message.h"

/*
 * What name servers said, by the name and type that was asked; nothing of an answer is taken for
 * another name. Shared by all sandboxes: policies are applied to what comes out of it. The one that
 * was used least lately goes when there is no room.
 */
enum { CX_CACHE_ENTRIES = 8192, CX_CACHE_BYTES = 32 << 20, CX_CACHE_BUCKETS = 4096 };

struct cx_cached;
struct cx_cache {
	struct cx_cached *buckets[CX_CACHE_BUCKETS];
	struct cx_cached *newest, *oldest;
	unsigned n;
	size_t bytes;
};

/* NULL, or what is there and not too old yet; the caller's until the next call. */
struct cx_answer *cx_cache_get(struct cx_cache *cache, const char *name, uint16_t type,
			       uint64_t now_ms);
/* Without memory for it, nothing is kept. */
void cx_cache_put(struct cx_cache *cache, const char *name, uint16_t type,
		  struct cx_answer *answer);
void cx_cache_clear(struct cx_cache *cache);

#endif
