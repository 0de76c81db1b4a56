/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <stdio.h>

#include "api/detached.h"
#include "base/log.h"

enum { RECONNECT_MS = 500, RECONNECT_TRIES = 20 };

static const struct cx_ending agent_lost = { "ERROR", "AGENT_LOST", NULL,
					     "the sandbox's agent could not be reached" };
static const struct cx_ending vanished = { "ERROR", "LOST", NULL, "the sandbox vanished" };

/* ---- the start command's end ---------------------------------------------------------------- */

static void main_ended(struct cx_box *box, const struct cx_msg_main_state *state)
{
	char message[80];
	struct cx_ending how = { .status = "TERMINATED", .reason = "START_COMMAND_ENDED" };

	if (box->phase != CX_BOX_RUNNING)
		return;
	box->row.exit_code = (int64_t)state->status + (state->how == CX_EXITED_SIGNAL ? 128 : 0);
	(void)snprintf(message, sizeof message, "the start command ended with %s %u",
		       state->how == CX_EXITED_SIGNAL ? "signal" : "status", state->status);
	if (box->row.exit_code != 0)
		how = (struct cx_ending){ .status = "ERROR",
					  .type = "START_COMMAND_FAILED",
					  .message = message };
	cx_box_end(box, &how);
}

static void on_main_ended(struct cx_session *session, const struct cx_msg_main_state *state,
			  void *arg)
{
	(void)session;
	main_ended(arg, state);
}

/* ---- a command's end: did it want for memory, or for room on its disk? ----------------------- */

static int ask_trouble(struct cx_box *box, struct cx_err *err);

static void on_trouble(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, doubt);
	unsigned settled = box->asked;
	bool disk_full = err == NULL && answer->trouble.disk_full != 0;
	struct cx_err failed;

	if (err == NULL && answer->trouble.oom_kills > 0) {
		cx_boxes_oom(box->gw, box->row.engine_id);
		return;
	}
	if (err != NULL && (err->kind == CX_NOT_FOUND || err->kind == CX_CONFLICT))
		return; /* it has ended: they are told with that */
	if (box->doubts != box->asked && ask_trouble(box, &failed) < 0)
		settled = box->doubts;
	if (box->broken != NULL)
		cx_session_release(box->broken, settled, disk_full);
	if (box->session != NULL)
		cx_session_release(box->session, settled, disk_full);
}

/* One question at a time; what ends after it was asked is a matter of the next one. */
static int ask_trouble(struct cx_box *box, struct cx_err *err)
{
	box->doubt.done = on_trouble;
	box->asked = box->doubts;
	return cx_engine_trouble(box->gw->engine, box->row.engine_id, &box->doubt, err);
}

static unsigned on_hold(struct cx_session *session, void *arg)
{
	struct cx_box *box = arg;
	bool under_way = box->doubt.link != NULL;
	struct cx_err err;

	(void)session;
	if (box->phase != CX_BOX_RUNNING)
		return 0;
	if (!under_way || box->doubts == box->asked)
		box->doubts++;
	if (!under_way && ask_trouble(box, &err) < 0)
		return 0;
	return box->doubts;
}

static void on_use(struct cx_session *session, void *arg)
{
	(void)session;
	cx_box_touch(arg);
}

/* ---- reaching the agent --------------------------------------------------------------------- */

static void try_again(struct cx_timer *timer)
{
	cx_box_reach(cx_container_of(timer, struct cx_box, timer));
}

static void try_later(struct cx_box *box)
{
	box->timer.fire = try_again;
	cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
}

/* It lives, but what was pending then has no answer. */
static void give_up(struct cx_session **slot)
{
	struct cx_session *session = *slot;
	struct cx_err err;

	*slot = NULL;
	if (session == NULL)
		return;
	(void)cx_refuse(&err, CX_UNAVAILABLE, "the connection to the sandbox was lost");
	cx_session_fail(session, CX_REASON_ENGINE_ERROR, &err);
	cx_session_close(session);
}

static void not_reached(struct cx_box *box, const struct cx_err *why)
{
	cx_log_err(CX_LOG_WARNING, why, "agent not reached", "id", box->row.id, NULL);
	cx_call_forget(&box->agent_call);
	give_up(&box->session);
	try_later(box);
}

/* If it has ended, caissond will say so and why; else what it did is lost sight of. */
static void on_lost(struct cx_session *session, const struct cx_err *err, void *arg)
{
	struct cx_box *box = arg;

	cx_log_err(CX_LOG_WARNING, err, "agent lost", "id", box->row.id, NULL);
	if (box->phase == CX_BOX_CONFIGURING) {
		box->why = *err;
		cx_box_end(box, NULL);
	} else if (box->phase == CX_BOX_ENDING) { /* while its log was read */
		cx_box_remove(box);
	} else {
		cx_call_forget(&box->agent_call);
		box->session = NULL;
		box->broken = session;
		try_later(box);
	}
}

/* ---- control groups for commands ------------------------------------------------------------- */

static void on_slot(struct cx_engine_call *call, struct cx_engine_answer *answer,
		    const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, slot);

	(void)answer;
	if (box->session != NULL)
		cx_session_slot_made(box->session, box->slot_number, err);
}

static void on_need_slot(struct cx_session *session, uint32_t number, void *arg)
{
	struct cx_box *box = arg;
	struct cx_err err;

	cx_engine_forget(&box->slot); /* of an earlier session */
	box->slot.done = on_slot;
	box->slot_number = number;
	if (cx_engine_slot(box->gw->engine, box->row.engine_id, number, &box->slot, &err) < 0)
		cx_session_slot_made(session, number, &err);
}

int cx_box_open_session(struct cx_box *box, struct cx_engine_answer *answer, bool fresh,
			struct cx_err *err)
{
	struct cx_accounts *accounts = NULL;
	struct cx_session_events events = { .sandbox = box->row.id,
					    .lost = on_lost,
					    .hold = on_hold,
					    .used = on_use,
					    .need_slot = on_need_slot,
					    .main_ended = on_main_ended,
					    .arg = box };

	if (answer->naccounts > 0 &&
	    cx_accounts_open(answer->accounts, answer->naccounts, fresh, &accounts, err) < 0)
		return -err->errnum;
	if (cx_session_open(box->gw->loop, box->gw->scratch, &answer->fd, &events, &box->session,
			    err) < 0) {
		cx_accounts_close(accounts);
		return -err->errnum;
	}
	if (accounts != NULL)
		cx_accounts_hold(accounts, &box->gw->held);
	cx_session_measure(box->session, accounts);
	return 0;
}

static void on_main_status(struct cx_call *call, const struct cx_answer *answer,
			   const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);

	cx_box_adopted(box);
	if (err != NULL) {
		not_reached(box, err);
		return;
	}
	box->tries = 0;
	give_up(&box->broken);
	cx_detached_reach(box, box->session);
	if (answer->main.state == CX_MAIN_ENDED)
		main_ended(box, &answer->main);
	else
		cx_lifetime_look(box);
}

static void on_connected(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);
	struct cx_err failed;

	if (err != NULL && err->kind == CX_NOT_FOUND) {
		cx_box_mark(box, &vanished);
		cx_box_finish(box);
		return;
	}
	if (err == NULL && cx_box_open_session(box, answer, false, &failed) == 0) {
		box->agent_call.done = on_main_status;
		if (cx_session_main(box->session, &box->agent_call, &failed) == 0)
			return;
	}
	not_reached(box, err != NULL ? err : &failed);
}

void cx_box_reach(struct cx_box *box)
{
	struct cx_err err;

	box->engine_call.done = on_connected;
	if (++box->tries > RECONNECT_TRIES)
		cx_box_end(box, &agent_lost);
	else if (cx_engine_connect(box->gw->engine, box->row.engine_id, &box->engine_call, &err) <
		 0)
		try_later(box);
}
