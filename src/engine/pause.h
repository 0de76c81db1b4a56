/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_PAUSE_H
#define CX_ENGINE_PAUSE_H

#include "engine/sandbox.h"

/* Requests to pause, until the sandbox stands still. */
enum { CX_PAUSE_MS = 10000, CX_PAUSE_LOOK_MS = 1, CX_PAUSES_MAX = 4096 };

struct cx_pausing;
struct cx_pauses {
	struct cx_sandboxes *sandboxes;
	struct cx_pausing *first;
	unsigned n;
};

/* err is NULL when it stands still; on failure it goes on as before. */
typedef void cx_pause_done(void *arg, uint64_t tag, const struct cx_err *err);

/* 0: done() follows, unless cx_pauses_close() comes before. */
CX_MUST int cx_pause(struct cx_pauses *pauses, struct cx_sandbox *sb, cx_pause_done *done,
		     void *arg, uint64_t tag, struct cx_err *err);
/* Nobody waits any more: what was not answered yet is undone. */
void cx_pauses_close(struct cx_pauses *pauses);

#endif
