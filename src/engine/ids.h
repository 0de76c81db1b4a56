/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_IDS_H
#define CX_ENGINE_IDS_H

#include <stdint.h>

#include "base/err.h"

/*
 * Ranges of 65,536 user ids, each with one owner on the whole host: a symbolic link named after the
 * first id in a directory that all instances share. It leads to the owner, a directory or file
 * whose existence says that the range is in use; whoever starts removes those whose owner is gone.
 */
#define CX_IDS_DIR "/run/caisson-ids"
enum { CX_ID_RANGE = 65536, CX_ID_OWNER_MAX = 1200 };

struct cx_ids {
	int dir;
	uint32_t base, count; /* what this instance may choose from */
	uint32_t next;	      /* where the next search begins: a range is not used again at once */
};

/* Makes the directory (root's, 0700) if needed. A random place is where choosing begins. */
CX_MUST int cx_ids_open(const char *dir, uint32_t base, uint32_t count, struct cx_ids *ret,
			struct cx_err *err);
void cx_ids_close(struct cx_ids *ids);

/* The owner must exist by now, or somebody else may take its range for left over. */
CX_MUST int cx_ids_reserve(struct cx_ids *ids, const char *owner, uint32_t *ret_base,
			   struct cx_err *err);
/* Nothing may be using it any more. Zero, or a base that is not reserved, does no harm. */
void cx_ids_release(struct cx_ids *ids, uint32_t base);

/*
 * Frees every range whose owner no longer exists, and those of owners below `run` (this instance's
 * own directory) that keep() does not know. Returns how many were freed.
 */
CX_MUST int cx_ids_reclaim(struct cx_ids *ids, const char *run,
			   int (*keep)(uint32_t base, const char *owner, void *arg), void *arg,
			   struct cx_err *err);

#endif
