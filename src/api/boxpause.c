/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include "base/fault.h"
#include "base/log.h"

static void set_state(struct cx_box *box, bool paused)
{
	struct cx_sandbox_row *row = &box->row;
	int64_t now = cx_wall_ms();
	struct cx_err err;

	if (cx_box_set(&row->status, paused ? "PAUSED" : "RUNNING", &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", row->id, NULL);
	if (!paused) /* what was left of its idle time still is */
		row->active_ms += now - row->paused_ms;
	row->paused_ms = paused ? now : 0;
	cx_box_save(box);
	cx_lifetime_look(box);
}

static void on_changed(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, change);
	bool paused = box->changing == CX_BOX_PAUSING;

	(void)answer;
	box->changing = CX_BOX_AT_REST;
	if (err == NULL)
		set_state(box, paused);
	if (box->phase == CX_BOX_RUNNING) /* else they were told by its end */
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

	(void)answer;
	box->changing = CX_BOX_AT_REST;
	if (box->phase != CX_BOX_RUNNING)
		return;
	if (err != NULL)
		cx_log_err(CX_LOG_WARNING, err, "sandbox not as it was", "id", box->row.id, NULL);
	if (err != NULL && box->row.paused_ms != 0)
		set_state(box, false);
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
