/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <string.h>

#include "api/events.h"
#include "base/fault.h"
#include "base/log.h"

/* On failure the row is as it was, here and in the store. */
static int set_state(struct cx_box *box, bool paused, struct cx_err *err)
{
	struct cx_sandbox_row *row = &box->row;
	const struct cx_sandbox_row old = *row;
	char *status = strdup(paused ? "PAUSED" : "RUNNING");

	if (status == NULL)
		return cx_fail(err, ENOMEM, "a sandbox's record");
	row->status = status;
	row->updated_ms = cx_wall_ms();
	if (!paused) /* what was left of its idle time still is */
		row->active_ms += row->updated_ms - row->paused_ms;
	row->paused_ms = paused ? row->updated_ms : 0;
	if (cx_store_sandbox_update(box->gw->store, row, err) < 0) {
		*row = old;
		free(status);
		return -err->errnum;
	}
	free(old.status);
	cx_events_written(box->gw);
	cx_lifetime_look(box);
	return 0;
}

static void on_changed(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, change);
	bool paused = box->changing == CX_BOX_PAUSING;
	struct cx_err unrecorded;

	(void)answer;
	box->changing = CX_BOX_AT_REST;
	if (box->phase != CX_BOX_RUNNING) /* they were told by its end */
		return;
	if (err == NULL && set_state(box, paused, &unrecorded) < 0) {
		/* The next gateway goes by the row, so it is what is true. */
		cx_box_tell(&box->changed, NULL, &unrecorded);
		cx_box_assert_state(box);
		return;
	}
	cx_box_tell(&box->changed, err == NULL ? &box->row : NULL, err);
}

static int ask(struct cx_box *box, bool pause, struct cx_err *err)
{
	if (cx_fault_step(pause ? "ask for a pause" : "ask to resume", err) < 0)
		return -err->errnum;
	return (pause ? cx_engine_pause : cx_engine_resume)(box->gw->engine, box->row.engine_id,
							    &box->change, err);
}

static int change(struct cx_box *box, bool pause, struct cx_box_waiter *waiter, struct cx_err *err)
{
	enum cx_box_change wanted = pause ? CX_BOX_PAUSING : CX_BOX_RESUMING;

	if (box->phase != CX_BOX_RUNNING)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				 box->row.status);
	if (box->changing == CX_BOX_AT_REST && (box->row.paused_ms != 0) == pause) {
		waiter->done(waiter, &box->row, NULL);
		return 0;
	}
	if (box->changing != CX_BOX_AT_REST && box->changing != wanted)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is just being %s",
				 pause ? "resumed" : "paused");
	if (box->changing == CX_BOX_AT_REST) {
		box->change.done = on_changed;
		if (ask(box, pause, err) < 0)
			return -err->errnum;
	}
	box->changing = wanted;
	waiter->next = box->changed;
	box->changed = waiter;
	return 0;
}

int cx_box_pause(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err)
{
	return change(box, true, waiter, err);
}

int cx_box_resume(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err)
{
	return change(box, false, waiter, err);
}

static void on_asserted(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, change);
	struct cx_err unrecorded;

	(void)answer;
	box->changing = CX_BOX_AT_REST;
	if (box->phase != CX_BOX_RUNNING)
		return;
	if (err != NULL)
		cx_log_err(CX_LOG_WARNING, err, "sandbox not as it was", "id", box->row.id, NULL);
	if (err != NULL && box->row.paused_ms != 0 && set_state(box, false, &unrecorded) < 0)
		cx_log_err(CX_LOG_ERROR, &unrecorded, "sandbox not recorded", "id", box->row.id,
			   NULL);
	cx_box_tell(&box->changed, err == NULL ? &box->row : NULL, err);
}

void cx_box_assert_state(struct cx_box *box)
{
	struct cx_err err;

	box->change.done = on_asserted;
	box->changing = box->row.paused_ms != 0 ? CX_BOX_PAUSING : CX_BOX_RESUMING;
	if (ask(box, box->row.paused_ms != 0, &err) == 0)
		return;
	box->changing = CX_BOX_AT_REST;
	cx_log_err(CX_LOG_WARNING, &err, "sandbox not as it was", "id", box->row.id, NULL);
}
