/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_BOXES_H
#define CX_API_BOXES_H

#include "api/gateway.h"
#include "exec/session.h"

/*
 * The live sandboxes as the gateway sees them: from the request that makes one until nothing of it
 * is left. The database has a row for each, updated at every change of status; a box ends with its
 * row in TERMINATED, TIMEOUT or ERROR.
 *
 *	[PULLING ->] [QUEUED ->] CREATING -> CONFIGURING -> RUNNING -> ENDING
 *
 * However it ends, its row says so and is recorded before anybody is told: then those who watch it
 * (cx_box_watch), and with CX_CONFLICT every request and command that is pending in its session. So
 * an answer that is given then, and the next question, which finds the row, say the same.
 */
enum cx_box_phase {
	CX_BOX_PULLING,
	CX_BOX_QUEUED,
	CX_BOX_CREATING,
	CX_BOX_CONFIGURING,
	CX_BOX_RUNNING,
	CX_BOX_ENDING
};

/* Somebody who waits for a box to run, or to be gone; embedded, told exactly once. */
struct cx_box_waiter {
	/* row is valid during the call; err is NULL on success. */
	void (*done)(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		     const struct cx_err *err);
	struct cx_box_waiter *next;
};

/*
 * Takes over *spec, whose row has an owner (cx_access_own). On success the waiter is told later,
 * when it runs or has failed; err names a field or what is missing. If its image has to be pulled
 * the waiter is told at once, inside, of a row that is PENDING, and so it is, inside or later, when
 * there is no room on the host: such a sandbox is promised, and what goes wrong with it stands in
 * its row.
 */
CX_MUST int cx_box_create(struct cx_gateway *gw, struct cx_spec *spec, struct cx_box_waiter *waiter,
			  struct cx_err *err);

/* Who keeps something of a live box, besides requests to its session; embedded, told once. */
struct cx_box_watch {
	/* It has ended as its row says; the watch is out of the list. */
	void (*ended)(struct cx_box_watch *watch, const struct cx_sandbox_row *row);
	struct cx_box_watch *next, **link;
};
void cx_box_watch(struct cx_box *box, struct cx_box_watch *watch);
void cx_box_unwatch(struct cx_box_watch *watch); /* idempotent; fine on a zeroed one */

/* NULL when it does not live. By id, or by the key that its owner gave it. */
struct cx_box *cx_box_find(struct cx_gateway *gw, const char *id);
struct cx_box *cx_box_find_key(struct cx_gateway *gw, const char *user, const char *key);
/*
 * By name among those of one owner: the newest, or with after the next one behind it. It may be in
 * any phase.
 */
struct cx_box *cx_box_find_owned(struct cx_gateway *gw, const char *user, const char *name,
				 const struct cx_box *after);

bool cx_box_is_promised(const struct cx_box *box);
const struct cx_sandbox_row *cx_box_row(const struct cx_box *box);
/*
 * Its session while it can be used, which counts as use (cx_box_touch); else NULL with CX_CONFLICT
 * and the reason, which may be that it is paused.
 */
struct cx_session *cx_box_session(struct cx_box *box, struct cx_err *err);
/* The same for who only looks: no use of it, and fine while it is paused. */
struct cx_session *cx_box_agent(struct cx_box *box, struct cx_err *err);
/* Its commands that need no client, a list of detached.c's. */
struct cx_detached;
struct cx_detached **cx_box_detached(struct cx_box *box);
/* Its session, if it still has one, for who reads what is left of one that ends. */
struct cx_session *cx_box_last_session(struct cx_box *box);
void cx_box_heard(struct cx_box *box); /* that was read */
/* For commands that ran when it ended like that. Without its agent we only know no more. */
enum cx_reason cx_box_reason_of_end(const struct cx_sandbox_row *row);
/*
 * It is in use now: its idle time begins anew. So it does while a request is pending in its
 * session, and when a command has ended.
 */
void cx_box_touch(struct cx_box *box);

/*
 * Stops all that runs in it but its agent, or lets it go on. The waiter is told when it is so, at
 * once inside if it is already, or of its end. CX_CONFLICT when it does not run, or is just being
 * changed to the other. While it is paused its idle time stands still; its lifetime does not.
 */
CX_MUST int cx_box_pause(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err);
CX_MUST int cx_box_resume(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err);
/*
 * Gives it new times, in minutes, which count from now. CX_CONFLICT when it does not run, as it
 * does not when its old ones are over: whoever comes first, the row or this, has won.
 */
CX_MUST int cx_box_renew(struct cx_box *box, double minutes, double idle_minutes,
			 struct cx_err *err);

/*
 * A sandbox with a lease (lease_s of its row) ends when it was neither renewed nor held for so
 * long, in whatever phase it is, paused or not.
 */
CX_MUST int cx_box_lease(const struct cx_box *box, struct cx_err *err); /* has it one? */
void cx_box_renew_lease(struct cx_box *box);
void cx_box_hold(struct cx_box *box);
void cx_box_let_go(struct cx_box *box);

/*
 * Makes what cx_network_parse() and cx_network_parse_name() filled in into the sandbox's policy.
 * The waiter is told when it is in force and recorded, at once inside if the sandbox has not begun;
 * if the resolver does not confirm it in time it is told all the same (cx_box_applied()). On an
 * error nothing has changed. CX_CONFLICT when it ends, or another change is under way.
 */
CX_MUST int cx_box_set_network(struct cx_box *box, struct cx_sandbox_row *wanted,
			       struct cx_box_waiter *waiter, struct cx_err *err);
/* Is what the lists say enforced for this sandbox? Not without a network. */
bool cx_box_has_network(const struct cx_box *box);
/* The newest generation of its policy that is in force. */
int64_t cx_box_applied(const struct cx_box *box);

/* From the resolver, for cx_resolver_open(). */
struct cx_resolver_slot;
struct cx_msg_denied;
void cx_boxes_denied(struct cx_resolver_slot *slot, const struct cx_msg_denied *denied, void *arg);

/* The line of those that wait for room (api/queue.h); before the first sandbox. */
void cx_queue_open(struct cx_gateway *gw, unsigned max, uint64_t wait_ms);
/* How many are to go before and with it, so from 1 on; 0: it does not wait. */
unsigned cx_queue_position(const struct cx_gateway *gw, const struct cx_sandbox_row *row);
/* Milliseconds that the first one has waited. */
int64_t cx_queue_age_ms(const struct cx_gateway *gw);
/* There may be room now. */
void cx_queue_look(struct cx_gateway *gw);

void cx_box_wait_running(struct cx_box *box, struct cx_box_waiter *waiter);
/* Begins the end unless that has begun; the waiter is told when nothing of it runs any more. */
void cx_box_destroy(struct cx_box *box, struct cx_box_waiter *waiter);
/* The same for one that is ending already; of any other it returns false. */
bool cx_box_wait_gone(struct cx_box *box, struct cx_box_waiter *waiter);

/* Nothing of it runs any more, or the kernel has killed in it for want of memory: of caissond. */
void cx_boxes_ended(struct cx_gateway *gw, const char *id, enum cx_end reason);
void cx_boxes_oom(struct cx_gateway *gw, const char *id);
/* What filled its memory; one of the two follows. */
struct cx_msg_oom_report;
void cx_boxes_oom_report(struct cx_gateway *gw, const char *id,
			 const struct cx_msg_oom_report *report);

/*
 * At start: compares the database with what caissond lists, adopts what lives in both, ends the
 * rest. ready() follows once, when every adopted sandbox can take commands or has been given up.
 */
CX_MUST int cx_boxes_adopt(struct cx_gateway *gw,
			   void (*ready)(struct cx_gateway *gw, const struct cx_err *err),
			   struct cx_err *err);

#endif
