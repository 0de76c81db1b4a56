/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"
#include "api/events.h"

#include <stdio.h>
#include <string.h>

#include "api/detached.h"
#include "api/metrics.h"
#include "api/oomreport.h"
#include "base/fault.h"
#include "base/log.h"

/*
 * A box ends in this order: its row says how and is recorded; who watches it or waits for a command
 * of it is told; what its start command wrote is read; caissond removes it. So who is told and asks
 * finds the end recorded already, and a gateway that dies in between leaves a sandbox that has
 * ended, which the next one has removed.
 */
enum {
	LOG_MS = 1000,		/* an agent that does not tell its log in time has none */
	REMOVE_AGAIN_MS = 1000, /* after caissond could not */
	RECORD_SOON_MS = 50,
	RECORD_SOON = 100, /* tries */
};

static const struct cx_ending deleted = { "TERMINATED", NULL, "DELETED", NULL };

static const struct cx_ending gone[CX_END_MAX] = {
	[CX_END_AGENT_EXITED] = { "ERROR", "AGENT_EXITED", NULL,
				  "the sandbox's first process ended, and all others with it" },
	[CX_END_OOM] = { "ERROR", "OOM_KILLED", NULL, "the sandbox ran out of its memory" },
	[CX_END_DESTROYED] = { "TERMINATED", NULL, "ENGINE_STOPPED", NULL },
	[CX_END_LOST] = { "ERROR", "LOST", NULL,
			  "the sandbox was found dead at a start of caissond" },
};

/* ---- the record ----------------------------------------------------------------------------- */

static bool has_ended(const struct cx_sandbox_row *row)
{
	return cx_box_is(row->status, "TERMINATED") || cx_box_is(row->status, "ERROR") ||
	       cx_box_is(row->status, "TIMEOUT");
}

static bool is_kept(const struct cx_box *box)
{
	return box->row.started_ms != 0 || box->promised;
}

static void set_or_log(struct cx_box *box, char **slot, const char *text)
{
	struct cx_err err;

	if (text != NULL && cx_box_set(slot, text, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", box->row.id, NULL);
}

void cx_box_mark(struct cx_box *box, const struct cx_ending *how)
{
	if (has_ended(&box->row))
		return;
	cx_box_set_word(box, CX_WORD_STATUS, &box->row.status, how->status);
	cx_box_set_word(box, CX_WORD_TYPE, &box->row.error_type, how->type);
	cx_box_set_word(box, CX_WORD_REASON, &box->row.termination_reason,
			how->reason != NULL ? how->reason : how->type);
	set_or_log(box, &box->row.error_message, how->message);
	box->row.ended_ms = cx_wall_ms();
}

void cx_box_mark_failed(struct cx_box *box, const char *type, const struct cx_err *why)
{
	char text[sizeof why->msg + 128];
	struct cx_ending how = { .status = "ERROR",
				 .type = type,
				 .message = cx_err_render(why, text, sizeof text) };

	cx_box_mark(box, &how);
}

/* What never ran failed to start, if something went wrong at all. */
static void mark_end(struct cx_box *box, const struct cx_ending *how)
{
	if (box->row.started_ms == 0 && box->why.errnum != 0)
		cx_box_mark_failed(box, "START_FAILED", &box->why);
	else
		cx_box_mark(box, how);
}

static void tell_watches(struct cx_box *box)
{
	while (box->watches != NULL) {
		struct cx_box_watch *watch = box->watches;

		cx_box_unwatch(watch);
		watch->ended(watch, &box->row);
	}
}

/* What those are told who wait for a command of it. */
static void say_ended(const struct cx_box *box, struct cx_err *ret)
{
	const char *message = box->row.error_message;

	(void)cx_refuse(ret, CX_CONFLICT, "the sandbox has ended, it is %s%s%.200s",
			box->row.status, message != NULL ? ": " : "",
			message != NULL ? message : "");
}

enum cx_reason cx_box_reason_of_end(const struct cx_sandbox_row *row)
{
	static const struct {
		const char *type;
		enum cx_reason reason;
	} reasons[] = {
		{ "OOM_KILLED", CX_REASON_OOM },
		{ "AGENT_LOST", CX_REASON_ENGINE_ERROR },
		{ "LOST", CX_REASON_ENGINE_ERROR },
	};

	for (size_t i = 0; i < CX_LEN(reasons); i++)
		if (cx_box_is(row->error_type, reasons[i].type))
			return reasons[i].reason;
	return CX_REASON_SANDBOX_STOPPED;
}

static void fail_session(const struct cx_box *box, struct cx_session **slot,
			 const struct cx_err *why)
{
	struct cx_session *session = *slot;

	*slot = NULL;
	if (session == NULL)
		return;
	cx_session_fail(session, cx_box_reason_of_end(&box->row), why);
	cx_session_close(session);
}

void cx_box_drop_sessions(struct cx_box *box, const struct cx_err *why)
{
	cx_call_forget(&box->agent_call);
	cx_timer_clear(&box->timer);
	fail_session(box, &box->broken, why);
	fail_session(box, &box->session, why);
}

/* The record is a text, which a NUL would cut. */
static void replace_nuls(struct cx_buf *text)
{
	for (char *p = text->p; (p = memchr(p, '\0', text->len - (size_t)(p - text->p))) != NULL;)
		*p = ' ';
}

static void finish_again(struct cx_timer *timer)
{
	cx_box_finish(cx_container_of(timer, struct cx_box, timer));
}

static int record_end(struct cx_box *box, struct cx_err *err)
{
	if (box->end_recorded && box->row.log == NULL)
		return 0; /* when it began, and nothing is new */
	box->row.updated_ms = cx_wall_ms();
	return is_kept(box) ? cx_store_sandbox_update(box->gw->store, &box->row, err)
			    : cx_store_sandbox_remove(box->gw->store, box->row.row, err);
}

/*
 * As long as its row calls it alive the box stays: what is listed are the rows. A full disk has
 * room when the files of the sandbox have gone, so who waits for its end waits for that, too.
 */
static void not_recorded(struct cx_box *box, const struct cx_err *err)
{
	struct cx_err ended;

	bool soon = ++box->unrecorded < RECORD_SOON;

	if (box->unrecorded == 1)
		cx_log_err(CX_LOG_ERROR, err, "end of a sandbox not recorded", "id",
			   box->row.id != NULL ? box->row.id : "none", NULL);
	box->phase = CX_BOX_ENDING;
	box->destroying = box->reading_log = false;
	cx_pull_leave(&box->pull);
	cx_queue_leave(box);
	say_ended(box, &ended);
	cx_box_drop_sessions(box, &ended);
	tell_watches(box);
	box->timer.fire = finish_again;
	cx_timer_set(box->gw->loop, &box->timer, soon ? RECORD_SOON_MS : REMOVE_AGAIN_MS);
	cx_box_tell(&box->changed, NULL, &ended);
	cx_box_tell(&box->running, NULL, err);
	if (!soon)
		cx_box_tell(&box->gone, NULL, err);
}

void cx_box_finish(struct cx_box *box)
{
	struct cx_err err;

	cx_box_adopted(box);
	cx_boxnet_end(box);
	mark_end(box, &deleted);
	if (box->log.len > 0)
		replace_nuls(&box->log);
	if (box->log.len > 0 && cx_buf_add(&box->log, "", 1, &err) == 0)
		box->row.log = cx_take_ptr(&box->log.p);
	cx_buf_free(&box->log); /* whatever is left of it */
	if (record_end(box, &err) < 0) {
		not_recorded(box, &err);
		return;
	}
	cx_events_written(box->gw);
	cx_metrics_gone(box->gw->metrics, box->row.started_ms != 0,
			box->row.error_type != NULL	      ? box->row.error_type
			: box->row.termination_reason != NULL ? box->row.termination_reason
							      : box->row.status);
	say_ended(box, &err);
	cx_box_drop_sessions(box, &err);
	tell_watches(box);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox was deleted while it started");
	cx_log(CX_LOG_INFO, "sandbox ended", "id", box->row.id != NULL ? box->row.id : "none",
	       "status", box->row.status, "name", box->row.name, NULL);
	cx_box_tell(&box->changed, NULL, &err);
	cx_box_tell(&box->running, NULL, &box->why);
	cx_box_tell(&box->gone, &box->row, NULL);
	cx_box_free(box);
}

/* ---- removal -------------------------------------------------------------------------------- */

static void remove_again(struct cx_timer *timer);

static void not_removed(struct cx_box *box, const struct cx_err *err)
{
	box->destroying = false;
	cx_log_err(CX_LOG_ERROR, err, "sandbox not destroyed", "id", box->row.id, NULL);
	box->timer.fire = remove_again;
	cx_timer_set(box->gw->loop, &box->timer, REMOVE_AGAIN_MS);
	cx_box_adopted(box);
	cx_box_tell(&box->running, NULL, err);
	cx_box_tell(&box->gone, NULL, err);
}

static void on_destroyed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);

	(void)answer;
	if (err == NULL || err->kind == CX_NOT_FOUND)
		cx_box_finish(box);
	else
		not_removed(box, err);
}

void cx_box_remove(struct cx_box *box)
{
	struct cx_err err;

	if (box->unrecorded > 0) { /* nothing is left of it but its row */
		cx_box_finish(box);
		return;
	}
	box->reading_log = false;
	say_ended(box, &err);
	cx_box_drop_sessions(box, &err);
	if (box->row.engine_id == NULL) /* on_created() goes on from here */
		return;
	cx_engine_forget(&box->engine_call);
	box->engine_call.done = on_destroyed;
	box->destroying = true;
	if (cx_fault_step("ask for its end", &err) < 0 ||
	    cx_engine_destroy(box->gw->engine, box->row.engine_id, &box->engine_call, &err) < 0)
		not_removed(box, &err);
}

static void remove_again(struct cx_timer *timer)
{
	cx_box_remove(cx_container_of(timer, struct cx_box, timer));
}

/* ---- the log -------------------------------------------------------------------------------- */

static void read_log(struct cx_box *box, uint64_t offset);

/* Commands may have said something, too. */
static void log_is_read(struct cx_box *box)
{
	box->log_is_read = true;
	if (!cx_detached_collects(box))
		cx_box_remove(box);
}

void cx_box_heard(struct cx_box *box)
{
	if (box->phase == CX_BOX_ENDING && box->reading_log && box->log_is_read)
		log_is_read(box);
}

static void on_log(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);
	struct cx_err full;

	if (err == NULL && answer->log.data.len > 0 &&
	    cx_buf_add(&box->log, answer->log.data.p, answer->log.data.len, &full) == 0) {
		if (box->log.len > CX_BOX_LOG_MAX)
			cx_buf_drop_front(&box->log, box->log.len - CX_BOX_LOG_MAX);
		box->row.log_bytes = (int64_t)(answer->log.offset + answer->log.data.len);
		read_log(box, (uint64_t)box->row.log_bytes);
		return;
	}
	log_is_read(box);
}

/* What is written is what the start command says: without one there is none. */
static bool has_log(const struct cx_box *box)
{
	return !cx_box_is(box->row.start_command, "null");
}

static void read_log(struct cx_box *box, uint64_t offset)
{
	struct cx_err err;

	box->agent_call.done = on_log;
	if (box->session == NULL ||
	    cx_session_log(box->session, offset, CX_BOX_LOG_CHUNK, &box->agent_call, &err) < 0)
		cx_box_remove(box);
}

/* ---- the end -------------------------------------------------------------------------------- */

void cx_box_end(struct cx_box *box, const struct cx_ending *how)
{
	bool talks = box->phase == CX_BOX_RUNNING && box->session != NULL;
	struct cx_err why;

	mark_end(box, how);
	if (box->phase == CX_BOX_PULLING ||
	    box->phase == CX_BOX_QUEUED) { /* there is nothing of it yet */
		cx_box_finish(box);
		return;
	}
	box->phase = CX_BOX_ENDING;
	box->reading_log = true; /* from here on a second end changes nothing */
	if (is_kept(box))
		box->end_recorded = cx_box_save(box);
	cx_timer_clear(&box->life);
	cx_timer_clear(&box->lease);
	cx_boxnet_end(box);
	cx_box_forget_config(box);
	cx_call_forget(&box->agent_call);
	say_ended(box, &why);
	tell_watches(box);
	fail_session(box, &box->broken, &why);
	if (talks)
		cx_session_give_up(box->session, cx_box_reason_of_end(&box->row), &why);
	cx_engine_forget(&box->change);
	cx_box_tell(&box->changed, NULL, &why);
	if (!talks) {
		cx_box_remove(box);
		return;
	}
	box->timer.fire = remove_again;
	cx_timer_set(box->gw->loop, &box->timer, LOG_MS);
	if (has_log(box))
		read_log(box, 0);
	else
		log_is_read(box);
}

void cx_box_destroy(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (waiter != NULL) {
		waiter->next = box->gone;
		box->gone = waiter;
	}
	if (box->phase != CX_BOX_ENDING)
		cx_box_end(box, &deleted);
	else if (!box->destroying && !box->reading_log)
		cx_box_remove(box);
}

bool cx_box_wait_gone(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (box->phase != CX_BOX_ENDING || (!box->destroying && !box->reading_log))
		return false;
	waiter->next = box->gone;
	box->gone = waiter;
	return true;
}

void cx_boxes_ended(struct cx_gateway *gw, const char *id, enum cx_end reason)
{
	struct cx_box *box = cx_box_find_engine(gw, id);
	struct cx_ending how = gone[reason];

	if (box == NULL)
		return;
	if (reason == CX_END_OOM && box->oom_message != NULL)
		how.message = box->oom_message;
	cx_box_mark(box, &how);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox ended while it started: %s",
				how.message != NULL ? how.message : "destroyed");
	cx_box_finish(box);
}

void cx_boxes_oom(struct cx_gateway *gw, const char *id)
{
	struct cx_box *box = cx_box_find_engine(gw, id);
	struct cx_ending how = gone[CX_END_OOM];

	if (box == NULL || box->phase == CX_BOX_ENDING)
		return;
	if (box->oom_message != NULL)
		how.message = box->oom_message;
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "%s", how.message);
	cx_box_end(box, &how);
}

/* It is told again to a gateway that connects; what is recorded stays. */
void cx_boxes_oom_report(struct cx_gateway *gw, const char *id,
			 const struct cx_msg_oom_report *report)
{
	struct cx_box *box = cx_box_find_engine(gw, id);
	char message[CX_OOM_MESSAGE_MAX];
	struct cx_err err;

	if (box == NULL || has_ended(&box->row) || box->oom_message != NULL)
		return;
	cx_oom_message(report, message);
	set_or_log(box, &box->oom_message, message);
	if (cx_oom_json(report, &box->row.oom_report, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "want of memory not recorded", "id", box->row.id,
			   NULL);
}
