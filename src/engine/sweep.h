/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_SWEEP_H
#define CX_ENGINE_SWEEP_H

#include "engine/child.h"
#include "engine/host.h"

/*
 * Deletes everything in the directory `trash`. Whatever sandboxes left there is no danger: links
 * are not followed, mounts not crossed, modes do not matter, and any depth takes a handful of
 * descriptors and no stack, because a directory that is not empty is moved up into `trash` first.
 * Stops early, without an error, when something cannot be deleted; the next run tries again.
 */
CX_MUST int cx_sweep(int trash, struct cx_err *err);

/*
 * All of `caissond --sweep`: the trash is CX_SWEEP_FD. Lowest priority, two capabilities.
 */
enum { CX_SWEEP_FD = 3 };
CX_MUST int cx_sweep_main(struct cx_err *err);

/* caissond's side: starts a sweeping process when there is something to do, one at a time. */
struct cx_sweeper {
	struct cx_host *host;
	struct cx_child *child;
	struct cx_timer timer;
	bool again;
	unsigned failures; /* in a row */
};

void cx_sweeper_open(struct cx_sweeper *ret, struct cx_host *host);
void cx_sweeper_kick(struct cx_sweeper *sweeper);
bool cx_sweeper_busy(const struct cx_sweeper *sweeper);
void cx_sweeper_close(struct cx_sweeper *sweeper);

#endif
