/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <stdio.h>

#include "base/log.h"

enum { RECONNECT_MS = 500, RECONNECT_TRIES = 20 };

/* ---- the start command's end ---------------------------------------------------------------- */

static void read_log(struct cx_box *box, uint64_t offset);

static void on_log(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);
	struct cx_err full;

	if (err == NULL && answer->log.data.len > 0 &&
	    cx_buf_add(&box->log, answer->log.data.p, answer->log.data.len, &full) == 0) {
		if (box->log.len > CX_BOX_LOG_MAX)
			cx_buf_drop_front(&box->log, box->log.len - CX_BOX_LOG_MAX);
		read_log(box, answer->log.offset + answer->log.data.len);
		return;
	}
	cx_box_end(box);
}

static void read_log(struct cx_box *box, uint64_t offset)
{
	struct cx_err err;

	box->agent_call.done = on_log;
	if (box->session == NULL ||
	    cx_session_log(box->session, offset, CX_BOX_LOG_CHUNK, &box->agent_call, &err) < 0)
		cx_box_end(box);
}

static void main_ended(struct cx_box *box, const struct cx_msg_main_state *state)
{
	char message[80];

	if (box->phase != CX_BOX_RUNNING)
		return;
	box->phase = CX_BOX_ENDING;
	box->reading_log = true;
	cx_call_forget(&box->agent_call);
	box->row.exit_code = (int64_t)state->status + (state->how == CX_EXITED_SIGNAL ? 128 : 0);
	(void)snprintf(message, sizeof message, "the start command ended with %s %u",
		       state->how == CX_EXITED_SIGNAL ? "signal" : "status", state->status);
	if (box->row.exit_code == 0)
		cx_box_mark(box, "TERMINATED", NULL, NULL);
	else
		cx_box_mark(box, "ERROR", "START_COMMAND_FAILED", message);
	read_log(box, 0);
}

static void on_main_ended(struct cx_session *session, const struct cx_msg_main_state *state,
			  void *arg)
{
	(void)session;
	main_ended(arg, state);
}

/* ---- reaching the agent --------------------------------------------------------------------- */

static void try_again(struct cx_timer *timer)
{
	cx_box_reach(cx_container_of(timer, struct cx_box, timer));
}

static void on_lost(struct cx_session *session, const struct cx_err *err, void *arg)
{
	struct cx_box *box = arg;

	if (box->session != session) /* we are closing it */
		return;
	cx_log_err(CX_LOG_WARNING, err, "agent lost", "id", box->row.id, NULL);
	box->session = NULL;
	cx_session_close(session);
	if (box->phase == CX_BOX_CONFIGURING) {
		box->why = *err;
		cx_box_end(box);
	} else if (box->phase == CX_BOX_ENDING) { /* while its log was read */
		cx_box_end(box);
	} else {
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
	}
}

int cx_box_open_session(struct cx_box *box, int *sock, struct cx_err *err)
{
	struct cx_session_events events = { .lost = on_lost,
					    .main_ended = on_main_ended,
					    .arg = box };

	box->timer.fire = try_again;
	return cx_session_open(box->gw->loop, box->gw->scratch, sock, &events, &box->session, err);
}

static void on_main_status(struct cx_call *call, const struct cx_answer *answer,
			   const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);

	cx_box_adopted(box);
	if (err != NULL) {
		cx_log_err(CX_LOG_WARNING, err, "agent not reached", "id", box->row.id, NULL);
		cx_box_close_session(box, "the sandbox does not answer");
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
		return;
	}
	box->tries = 0;
	if (answer->main.state == CX_MAIN_ENDED)
		main_ended(box, &answer->main);
}

static void on_connected(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);
	struct cx_err failed;

	if (err == NULL && cx_box_open_session(box, &answer->fd, &failed) == 0) {
		box->agent_call.done = on_main_status;
		if (cx_session_main(box->session, &box->agent_call, &failed) == 0)
			return;
		cx_box_close_session(box, "the agent cannot be asked");
	}
	if (err != NULL && err->kind == CX_NOT_FOUND) {
		cx_box_mark(box, "ERROR", "LOST", "the sandbox vanished");
		cx_box_finish(box);
		return;
	}
	cx_log_err(CX_LOG_WARNING, err != NULL ? err : &failed, "agent not reached", "id",
		   box->row.id, NULL);
	cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
}

void cx_box_reach(struct cx_box *box)
{
	struct cx_err err;

	box->timer.fire = try_again;
	box->engine_call.done = on_connected;
	if (++box->tries > RECONNECT_TRIES) {
		cx_box_mark(box, "ERROR", "AGENT_LOST", "the sandbox's agent could not be reached");
		cx_box_end(box);
	} else if (cx_engine_connect(box->gw->engine, box->row.engine_id, &box->engine_call, &err) <
		   0) {
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
	}
}
