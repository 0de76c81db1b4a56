/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_BUCKET_H
#define CX_RESOLVER_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* So many a second and so many at once. A zeroed bucket is full. */
struct cx_bucket {
	uint64_t full_us; /* when it is full again */
};

static inline bool cx_bucket_take(struct cx_bucket *bucket, uint64_t now_ms, uint32_t a_second,
				  uint32_t at_once)
{
	uint64_t each_us = 1000000 / a_second, full = bucket->full_us;

	if (full < now_ms * 1000)
		full = now_ms * 1000;
	if (full + each_us > now_ms * 1000 + at_once * each_us)
		return false;
	bucket->full_us = full + each_us;
	return true;
}

#endif
