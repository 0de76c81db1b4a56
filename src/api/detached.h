/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_DETACHED_H
#define CX_API_DETACHED_H

#include "api/boxes.h"
#include "api/execrow.h"

/*
 * Commands that need neither their client nor this gateway: the agent keeps their output and their
 * end (proto/agent_msgs.h), and their row names them. A new gateway goes on with those that run.
 * However one ends, its row is written before anybody is told; what nobody can know any more is
 * told as such, with the reason engine_error.
 */
enum { CX_EXEC_WAIT_MAX = 60 }; /* seconds that a request may wait for one */

struct cx_detached; /* one that runs, or whose end is being written down */

/* Somebody who waits for one; embedded, told once. */
struct cx_detached_waiter {
	/*
	 * It has ended, or begun when that is waited for: row is valid during the call. With err it
	 * could not be started.
	 */
	void (*done)(struct cx_detached_waiter *waiter, const struct cx_exec_row *row,
		     const struct cx_err *err);
	bool for_end;
	struct cx_detached_waiter *next, **link; /* private */
};
void cx_detached_unwait(struct cx_detached_waiter *waiter); /* idempotent */

/*
 * The command of this sandbox and id: 1 with the row of one that has ended; 0 with *ret_running; or
 * CX_NOT_FOUND. One of which nobody knows any more ends here.
 */
CX_MUST int cx_detached_find(struct cx_gateway *gw, const char *sandbox, const char *id,
			     struct cx_exec_row *ret, struct cx_detached **ret_running,
			     struct cx_err *err);
/* Starts spec, whose id is not known in the box. The waiter is told later. */
CX_MUST int cx_detached_start(struct cx_gateway *gw, struct cx_box *box,
			      const struct cx_exec_spec *spec, struct cx_detached_waiter *waiter,
			      struct cx_err *err);
/* May tell at once, inside. */
void cx_detached_wait(struct cx_detached *one, struct cx_detached_waiter *waiter);
const struct cx_exec_row *cx_detached_row(const struct cx_detached *one);
CX_MUST int cx_detached_signal(struct cx_detached *one, uint32_t signo, struct cx_err *err);

/* For boxadopt.c, boxagent.c: an earlier gateway's go on; their agent can be asked (again). */
CX_MUST int cx_detached_adopt(struct cx_gateway *gw, struct cx_box *box, struct cx_err *err);
/* After those: what ran in sandboxes that are gone has ended, unseen. */
CX_MUST int cx_detached_settle(struct cx_gateway *gw, struct cx_err *err);
/* The output of some that have ended with the sandbox is being read; cx_box_heard() follows. */
bool cx_detached_collects(struct cx_box *box);
void cx_detached_reach(struct cx_box *box, struct cx_session *session);
/* For box.c: it is about to be freed, and what is not written down yet goes on without it. */
void cx_detached_leave(struct cx_gateway *gw, struct cx_box *box);

#endif
