/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_CHECKPOINT_H
#define CX_API_CHECKPOINT_H

#include "base/loop.h"

/*
 * What transactions left in state.db-wal has to go to its place in state.db, which waits for the
 * disk. sqlite does it within one request of some forty. With a loop it is done when nothing was
 * written for CX_CHECKPOINT_QUIET_MS, and within a request only when the file has become very long.
 */
struct cx_store;

enum {
	CX_CHECKPOINT_PAGES = 500, /* in the file; for fewer it is not worth while */
	CX_CHECKPOINT_PAGES_MAX = 4000,
	CX_CHECKPOINT_QUIET_MS = 40, /* more than CX_LATER_MS: what comes then is not over */
};

/* The loop outlives the store, which closes it. */
CX_MUST int cx_checkpoint_open(struct cx_store *store, struct cx_loop *loop, struct cx_err *err);
void cx_checkpoint_close(struct cx_store *store);

#endif
