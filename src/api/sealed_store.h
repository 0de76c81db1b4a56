/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SEALED_STORE_H
#define CX_API_SEALED_STORE_H

#include "api/store.h"
#include "base/buf.h"

/*
 * Boxes that only seal.c can open, one for a sandbox, by the number of its row. A box goes with the
 * end of its sandbox, in the same step.
 */
enum { CX_SEALED_MAX = 1 << 20, CX_SEAL_ID = 16 };

CX_MUST int cx_store_sealed_put(struct cx_store *store, int64_t sandbox, const struct cx_buf *box,
				struct cx_err *err);
/* 1: appended to box; 0: there is none. */
CX_MUST int cx_store_sealed_get(struct cx_store *store, int64_t sandbox, struct cx_buf *box,
				struct cx_err *err);
CX_MUST int cx_store_sealed_remove(struct cx_store *store, int64_t sandbox, struct cx_err *err);

/* Which key the boxes are sealed with. 1, or 0 when nobody has said so yet. */
CX_MUST int cx_store_seal_id(struct cx_store *store, uint8_t ret[CX_SEAL_ID], struct cx_err *err);
/*
 * In one transaction that survives a power cut once it has happened: turn() makes each box anew in
 * place, and id is noted. Returns how many there were.
 */
CX_MUST int cx_store_sealed_turn(struct cx_store *store, const uint8_t id[CX_SEAL_ID],
				 int (*turn)(int64_t sandbox, struct cx_buf *box, void *arg,
					     struct cx_err *err),
				 void *arg, struct cx_err *err);

#endif
