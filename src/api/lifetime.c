/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lifetime.h"

#include "api/box.h"

enum {
	LOOK_MS = 60000,   /* at least so often: somebody may set the clock */
	RECORD_MS = 10000, /* use is recorded not more often than this ... */
	RECORD_PARTS = 10, /* ... or this part of the idle time, if that is less */
};

static const struct cx_ending over = { "TIMEOUT", "TIMEOUT", NULL,
				       "the sandbox has reached its 'timeout_minutes'" };
static const struct cx_ending idle = { "TIMEOUT", "TIMEOUT", "IDLE_TIMEOUT",
				       "the sandbox was not used for its 'idle_timeout_minutes'" };

static int64_t idle_ms(const struct cx_sandbox_row *row)
{
	return (int64_t)(row->idle_timeout_minutes * 60000);
}

int64_t cx_lifetime_idle_end(const struct cx_sandbox_row *row)
{
	if (row->idle_timeout_minutes <= 0 || row->active_ms == 0 || row->paused_ms != 0)
		return 0;
	return row->active_ms + idle_ms(row);
}

enum cx_lifetime cx_lifetime_at(const struct cx_sandbox_row *row, int64_t now_ms, int64_t *ret_next)
{
	int64_t idle_end = cx_lifetime_idle_end(row), next = LOOK_MS;

	*ret_next = 0;
	if (row->expires_ms != 0 && now_ms >= row->expires_ms)
		return CX_LIFETIME_OVER;
	if (idle_end != 0 && now_ms >= idle_end)
		return CX_LIFETIME_IDLE;
	if (row->expires_ms != 0 && row->expires_ms - now_ms < next)
		next = row->expires_ms - now_ms;
	if (idle_end != 0 && idle_end - now_ms < next)
		next = idle_end - now_ms;
	if (row->expires_ms != 0 || idle_end != 0)
		*ret_next = next;
	return CX_LIFETIME_GOES_ON;
}

static void look(struct cx_timer *timer)
{
	cx_lifetime_look(cx_container_of(timer, struct cx_box, life));
}

void cx_lifetime_begin(struct cx_box *box)
{
	struct cx_sandbox_row *row = &box->row;

	row->started_ms = row->updated_ms = row->active_ms = cx_wall_ms();
	box->active_saved_ms = row->active_ms;
	if (row->timeout_minutes > 0)
		row->expires_ms = row->started_ms + (int64_t)(row->timeout_minutes * 60000);
}

void cx_lifetime_look(struct cx_box *box)
{
	int64_t next;

	if (box->phase != CX_BOX_RUNNING)
		return;
	if (box->session != NULL && cx_session_busy(box->session))
		cx_box_touch(box);
	switch (cx_lifetime_at(&box->row, cx_wall_ms(), &next)) {
	case CX_LIFETIME_OVER:
		cx_box_end(box, &over);
		return;
	case CX_LIFETIME_IDLE:
		cx_box_end(box, &idle);
		return;
	case CX_LIFETIME_GOES_ON:
		break;
	}
	box->life.fire = look;
	if (next > 0)
		cx_timer_set(box->gw->loop, &box->life, (uint64_t)next);
}

static void set_times(struct cx_sandbox_row *row, double minutes, double idle_minutes)
{
	int64_t now = cx_wall_ms();

	row->timeout_minutes = minutes;
	row->idle_timeout_minutes = idle_minutes;
	row->expires_ms = minutes > 0 ? now + (int64_t)(minutes * 60000) : 0;
	if (row->paused_ms == 0)
		row->active_ms = now;
}

int cx_box_renew(struct cx_box *box, double minutes, double idle_minutes, struct cx_err *err)
{
	struct cx_sandbox_row *row = &box->row, old;

	cx_lifetime_look(box); /* its timer may be late */
	if (box->phase != CX_BOX_RUNNING)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				 row->status);
	old = *row;
	set_times(row, minutes, idle_minutes);
	if (cx_store_sandbox_update(box->gw->store, row, err) < 0) {
		set_times(row, old.timeout_minutes, old.idle_timeout_minutes);
		row->expires_ms = old.expires_ms;
		row->active_ms = old.active_ms;
		return -err->errnum;
	}
	box->active_saved_ms = row->active_ms;
	cx_lifetime_look(box);
	return 0;
}

void cx_box_touch(struct cx_box *box)
{
	int64_t every = idle_ms(&box->row) / RECORD_PARTS;

	if (box->row.paused_ms != 0)
		return;
	box->row.active_ms = cx_wall_ms();
	if (box->row.idle_timeout_minutes <= 0 ||
	    box->row.active_ms - box->active_saved_ms < (every < RECORD_MS ? every : RECORD_MS))
		return;
	box->active_saved_ms = box->row.active_ms;
	cx_box_save(box);
}
