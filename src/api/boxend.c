/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include "base/log.h"

void cx_box_mark(struct cx_box *box, const char *status, const char *type, const char *message)
{
	struct cx_err err;

	if (cx_box_is(box->row.status, "TERMINATED") || cx_box_is(box->row.status, "ERROR"))
		return; /* the first reason is the reason */
	if (cx_box_set(&box->row.status, status, &err) < 0 ||
	    (type != NULL && cx_box_set(&box->row.error_type, type, &err) < 0) ||
	    (message != NULL && cx_box_set(&box->row.error_message, message, &err) < 0))
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", box->row.id, NULL);
}

void cx_box_mark_failed(struct cx_box *box, const char *type, const struct cx_err *why)
{
	char text[sizeof why->msg + 128];

	cx_box_mark(box, "ERROR", type, cx_err_render(why, text, sizeof text));
}

/* Nothing of it is left in the kernel. Frees the box. */
void cx_box_finish(struct cx_box *box)
{
	bool kept = box->row.started_ms != 0 || box->promised;
	struct cx_err err;

	cx_box_adopted(box);
	if (box->row.started_ms == 0 && box->why.errnum != 0)
		cx_box_mark_failed(box, "START_FAILED", &box->why);
	cx_box_mark(box, "TERMINATED", NULL, NULL);
	box->row.ended_ms = cx_wall_ms();
	if (box->log.len > 0 && cx_buf_add(&box->log, "", 1, &err) == 0)
		box->row.log = cx_take_ptr(&box->log.p);
	if (kept)
		cx_box_save(box);
	else if (cx_store_sandbox_remove(box->gw->store, box->row.row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "record not removed", NULL);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox was deleted while it started");
	cx_log(CX_LOG_INFO, "sandbox ended", "id", box->row.id != NULL ? box->row.id : "none",
	       "status", box->row.status, "name", box->row.name, NULL);
	cx_box_tell(&box->running, NULL, &box->why);
	cx_box_tell(&box->gone, &box->row, NULL);
	cx_box_free(box);
}

/* Commands that still run are told first: closing a session silences them. */
void cx_box_close_session(struct cx_box *box, const char *reason)
{
	struct cx_session *session = box->session;
	struct cx_err err;

	box->session = NULL;
	cx_call_forget(&box->agent_call);
	cx_timer_clear(&box->timer);
	if (session == NULL)
		return;
	(void)cx_refuse(&err, CX_CONFLICT, "%s", reason);
	if (cx_session_alive(session))
		cx_session_fail(session, &err);
	cx_session_close(session);
}

static void on_destroyed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);

	(void)answer;
	if (err == NULL || err->kind == CX_NOT_FOUND) {
		cx_box_finish(box);
		return;
	}
	/* It goes on existing, and so does the box: the next delete tries again. */
	box->destroying = false;
	cx_log_err(CX_LOG_ERROR, err, "sandbox not destroyed", "id", box->row.id, NULL);
	cx_box_adopted(box);
	cx_box_tell(&box->running, NULL, err);
	cx_box_tell(&box->gone, NULL, err);
}

static void ask_destroy(struct cx_box *box)
{
	struct cx_err err;

	cx_engine_forget(&box->engine_call);
	box->engine_call.done = on_destroyed;
	box->destroying = true;
	if (cx_engine_destroy(box->gw->engine, box->row.engine_id, &box->engine_call, &err) == 0)
		return;
	box->destroying = false;
	cx_log_err(CX_LOG_ERROR, &err, "sandbox not destroyed", "id", box->row.id, NULL);
	cx_box_tell(&box->gone, NULL, &err);
}

void cx_box_end(struct cx_box *box)
{
	if (box->phase == CX_BOX_PULLING) { /* there is nothing of it yet */
		cx_box_finish(box);
		return;
	}
	box->phase = CX_BOX_ENDING;
	box->reading_log = false;
	cx_box_close_session(box, "the sandbox has ended");
	cx_box_forget_config(box);
	if (box->row.engine_id != NULL) /* else on_created() goes on from here */
		ask_destroy(box);
}

void cx_box_destroy(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (waiter != NULL) {
		waiter->next = box->gone;
		box->gone = waiter;
	}
	if (box->phase != CX_BOX_ENDING || (!box->destroying && !box->reading_log))
		cx_box_end(box);
}

bool cx_box_wait_gone(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (box->phase != CX_BOX_ENDING || (!box->destroying && !box->reading_log))
		return false;
	waiter->next = box->gone;
	box->gone = waiter;
	return true;
}

static const struct {
	const char *status, *type, *message;
} ends[CX_END_MAX] = {
	[CX_END_AGENT_EXITED] = { "ERROR", "AGENT_EXITED",
				  "the sandbox's first process ended, and all others with it" },
	[CX_END_OOM] = { "ERROR", "OOM_KILLED", "the sandbox ran out of its memory" },
	[CX_END_DESTROYED] = { "TERMINATED", NULL, NULL },
	[CX_END_LOST] = { "ERROR", "LOST", "the sandbox was found dead at a start of caissond" },
};

void cx_boxes_ended(struct cx_gateway *gw, const char *id, enum cx_end reason)
{
	struct cx_box *box = cx_box_find_engine(gw, id);

	if (box == NULL)
		return;
	cx_box_mark(box, ends[reason].status, ends[reason].type, ends[reason].message);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox ended while it started: %s",
				ends[reason].message != NULL ? ends[reason].message : "destroyed");
	cx_box_close_session(box, ends[reason].message != NULL ? ends[reason].message
							       : "the sandbox was destroyed");
	cx_box_finish(box);
}
