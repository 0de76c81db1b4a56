/* SPDX-License-Identifier: Apache-2.0 */
#include "api/detached.h"

#include <string.h>

#include "base/list.h"
#include "base/log.h"

enum { PUT_AGAIN_MS = 5000 };

enum state {
	RUNNING,    /* or being started, or its agent is just being reached again */
	COLLECTING, /* it has ended; its output is read */
	OVER,	    /* all is known; it stays until its row could be written */
};

struct cx_detached {
	struct cx_gateway *gw;
	struct cx_exec_row row;
	enum state state;
	bool begun;   /* the agent has said that it runs */
	bool earlier; /* it was started by another gateway, or on another connection */
	struct cx_exec exec;
	uint32_t pid;
	struct cx_result end;
	struct cx_err why;	    /* with errnum: more about it */
	struct cx_session *session; /* that the output is asked of */
	struct cx_call call;
	bool of_stderr, of_tail, asked_again;
	uint64_t offset; /* asked for */
	struct cx_box_watch watch;
	struct cx_timer timer;
	struct cx_detached_waiter *waiters;
	struct cx_detached *next, **link;
};

/* ---- memory ---------------------------------------------------------------------------------- */

static void destroy(struct cx_detached *d)
{
	cx_list_remove(d);
	cx_exec_forget(&d->exec);
	cx_call_forget(&d->call);
	cx_box_unwatch(&d->watch);
	cx_timer_clear(&d->timer);
	cx_exec_row_clear(&d->row);
	free(d);
}

static struct cx_detached *find_in(struct cx_detached *first, const char *sandbox, const char *id)
{
	struct cx_detached *d = first;

	while (d != NULL && (strcmp(d->row.id, id) != 0 || strcmp(d->row.sandbox_id, sandbox) != 0))
		d = d->next;
	return d;
}

static struct cx_detached *find(struct cx_gateway *gw, const char *sandbox, const char *id)
{
	struct cx_box *box = cx_box_find(gw, sandbox);

	return find_in(box != NULL ? *cx_box_detached(box) : gw->detached, sandbox, id);
}

void cx_detached_leave(struct cx_gateway *gw, struct cx_box *box)
{
	struct cx_detached **first = cx_box_detached(box);

	while (*first != NULL) {
		struct cx_detached *d = *first;

		cx_list_remove(d);
		cx_list_add(&gw->detached, d);
	}
}

/* ---- waiters --------------------------------------------------------------------------------- */

void cx_detached_unwait(struct cx_detached_waiter *waiter)
{
	cx_list_remove(waiter);
}

/* All, or only those who wait for its start. They may go, but not come, meanwhile. */
static void tell(struct cx_detached *d, bool all, const struct cx_err *err)
{
	struct cx_detached_waiter *next;

	for (struct cx_detached_waiter *one = d->waiters; one != NULL; one = next) {
		next = one->next;
		if (one->for_end && !all)
			continue;
		cx_detached_unwait(one);
		one->done(one, &d->row, err);
	}
}

void cx_detached_wait(struct cx_detached *d, struct cx_detached_waiter *waiter)
{
	waiter->link = NULL;
	if (d->state == OVER || (d->begun && !waiter->for_end)) {
		waiter->done(waiter, &d->row, NULL);
		return;
	}
	cx_list_add(&d->waiters, waiter);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void put_again(struct cx_timer *timer);

/* Frees it, unless its row cannot be written: then its end is told from here until it can. */
static void put(struct cx_detached *d)
{
	struct cx_err err;

	if (cx_exec_row_put(d->gw, &d->row, &err) == 0) {
		destroy(d);
		return;
	}
	cx_log_err(CX_LOG_WARNING, &err, "a command's end is not recorded yet", NULL);
	d->timer.fire = put_again;
	cx_timer_set(d->gw->loop, &d->timer, PUT_AGAIN_MS);
}

static void put_again(struct cx_timer *timer)
{
	put(cx_container_of(timer, struct cx_detached, timer));
}

static void conclude(struct cx_detached *d)
{
	struct cx_box *box = cx_box_find(d->gw, d->row.sandbox_id);
	struct cx_err err;
	int r = cx_exec_row_end(&d->row, &d->end, d->pid, d->why.errnum != 0 ? &d->why : NULL, NULL,
				&err);

	d->state = OVER;
	cx_box_unwatch(&d->watch);
	if (box != NULL)
		cx_box_heard(box);
	if (r < 0) { /* no memory: a later look finds that nobody knows it */
		tell(d, true, &err);
		destroy(d);
		return;
	}
	r = cx_exec_row_put(d->gw, &d->row, &err); /* before anybody is told */
	tell(d, true, NULL);
	if (r == 0)
		destroy(d);
	else
		put(d);
}

static void collect(struct cx_detached *d);
static void collect_last(struct cx_timer *timer);

/* Once more, if there is still somebody to ask: a session may end its calls and yet go on. */
static void not_read(struct cx_detached *d, const struct cx_err *err)
{
	if (!d->asked_again) {
		d->asked_again = true;
		d->timer.fire = collect_last;
		cx_timer_set(d->gw->loop, &d->timer, 0);
		return;
	}
	if (d->why.errnum == 0) {
		d->why = *err;
		(void)cx_wrap(&d->why, "its output could not be read");
	}
	conclude(d);
}

/* Of each stream the beginning, then what is newest; both are there, or were never written. */
static void on_output(struct cx_call *call, const struct cx_answer *answer,
		      const struct cx_err *err)
{
	struct cx_detached *d = cx_container_of(call, struct cx_detached, call);
	struct cx_excerpt *to = d->of_stderr ? &d->row.err : &d->row.out;
	struct cx_err bad;
	uint64_t end;

	if (err == NULL && cx_excerpt_add(to, answer->log.offset, answer->log.data.p,
					  answer->log.data.len, &bad) < 0)
		err = &bad;
	if (err != NULL) {
		not_read(d, err);
		return;
	}
	end = answer->log.end;
	d->of_tail = !d->of_tail && to->bytes < end;
	d->offset = 0;
	if (d->of_tail)
		d->offset = end - to->bytes > CX_EXCERPT_TAIL ? end - CX_EXCERPT_TAIL : to->bytes;
	to->cut = d->of_tail;
	if (!d->of_tail && d->of_stderr) {
		conclude(d);
		return;
	}
	d->of_stderr |= !d->of_tail;
	collect(d);
}

static void collect(struct cx_detached *d)
{
	uint32_t max = d->of_tail ? CX_EXCERPT_TAIL : CX_EXCERPT_HEAD;
	struct cx_err err;

	d->call.done = on_output;
	if (cx_session_exec_output(d->session, d->row.id, d->of_stderr, d->offset, max, 0, &d->call,
				   &err) < 0)
		not_read(d, &err);
}

/* A sandbox that ends waits for this a while (boxend.c). */
static void collect_last(struct cx_timer *timer)
{
	struct cx_detached *d = cx_container_of(timer, struct cx_detached, timer);
	struct cx_box *box = cx_box_find(d->gw, d->row.sandbox_id);
	struct cx_err gone;

	d->asked_again = true;
	d->session = box != NULL ? cx_box_last_session(box) : NULL;
	if (d->session != NULL) {
		collect(d);
		return;
	}
	(void)cx_refuse(&gone, CX_UNAVAILABLE, "the connection to the sandbox is closed");
	not_read(d, &gone);
}

bool cx_detached_collects(struct cx_box *box)
{
	for (const struct cx_detached *d = *cx_box_detached(box); d != NULL; d = d->next)
		if (d->state == COLLECTING)
			return true;
	return false;
}

/* Nothing ran: the id is free again. */
static void fail_start(struct cx_detached *d, const struct cx_err *why)
{
	struct cx_err err;

	d->state = OVER;
	if (cx_store_exec_remove(d->gw->store, d->row.sandbox_id, d->row.id, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "a command that did not start is recorded", NULL);
	tell(d, true, why);
	destroy(d);
}

/* Nobody saw how it ended: never to be taken for a success. */
static void lose(struct cx_detached *d, enum cx_reason reason)
{
	d->end = (struct cx_result){ .unseen = true, .reason = reason };
}

static bool has_stopped(const struct cx_detached *d, enum cx_reason *ret)
{
	const struct cx_box *box = cx_box_find(d->gw, d->row.sandbox_id);

	*ret = box != NULL ? cx_box_reason_of_end(cx_box_row(box)) : CX_REASON_SANDBOX_STOPPED;
	return box == NULL || cx_box_row(box)->ended_ms > 0;
}

/* The connection was lost. One whose start nobody has told yet may run all the same. */
static bool is_cut_off(const struct cx_detached *d, const struct cx_err *err)
{
	return err->kind == CX_UNAVAILABLE &&
	       (d->begun || d->earlier || !cx_session_alive(d->session));
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err)
{
	struct cx_detached *d = cx_container_of(exec, struct cx_detached, exec);
	enum cx_reason reason;
	bool stopped = has_stopped(d, &reason);

	if (err != NULL && !stopped && is_cut_off(d, err))
		return; /* it is asked again when its agent is reached */
	if (err != NULL)
		d->why = *err;
	if (end != NULL)
		d->end = *end;
	else if (stopped)
		lose(d, reason);
	else if (d->begun || d->earlier || err->kind == CX_UNAVAILABLE || err->kind == CX_TIMEOUT)
		lose(d, CX_REASON_ENGINE_ERROR);
	else {
		fail_start(d, err);
		return;
	}
	d->state = COLLECTING;
	if (err == NULL) {
		collect(d);
		return;
	}
	d->timer.fire = collect_last; /* the session is just telling everybody */
	cx_timer_set(d->gw->loop, &d->timer, 0);
}

/* Now it has a slot: the next gateway goes on counting there. */
static void note_slot(struct cx_detached *d)
{
	struct cx_accounts_mark mark = cx_exec_mark(&d->exec);
	struct cx_err err;

	if (cx_exec_row_set_mark(&d->row, &mark, &err) < 0 ||
	    cx_exec_row_put(d->gw, &d->row, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "where a command is counted is not recorded",
			   NULL);
}

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	struct cx_detached *d = cx_container_of(exec, struct cx_detached, exec);

	if (!d->earlier)
		note_slot(d);
	d->begun = true;
	d->pid = pid;
	tell(d, false, NULL);
}

/* Its session tells it, if it has one; else nobody does. */
static void on_box_ended(struct cx_box_watch *watch, const struct cx_sandbox_row *row)
{
	struct cx_detached *d = cx_container_of(watch, struct cx_detached, watch);

	if (d->state != RUNNING || cx_exec_pending(&d->exec))
		return;
	(void)cx_refuse(&d->why, CX_CONFLICT, "the sandbox has ended (%s)", row->status);
	lose(d, cx_box_reason_of_end(row));
	conclude(d);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static struct cx_detached *make(struct cx_gateway *gw, struct cx_box *box)
{
	struct cx_detached *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->gw = gw;
	d->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	d->row.out.cut = d->row.err.cut = true; /* until it is read */
	d->watch.ended = on_box_ended;
	cx_box_watch(box, &d->watch);
	return d;
}

static int ask(struct cx_detached *d, struct cx_session *session, const struct cx_exec_spec *spec,
	       struct cx_err *err)
{
	CX_AUTO(cx_pipes_close) struct cx_pipes pipes;

	if (cx_pipes_open_input(&pipes, err) < 0 ||
	    cx_pipes_fill(&pipes, spec->input.p, spec->input.len, err) < 0)
		return -err->errnum;
	d->session = session;
	d->exec.id = d->row.id;
	return cx_command_ask(session, spec, d->row.id, &pipes, &d->exec, err);
}

int cx_detached_start(struct cx_gateway *gw, struct cx_box *box, const struct cx_exec_spec *spec,
		      struct cx_detached_waiter *waiter, struct cx_err *err)
{
	struct cx_session *session = cx_box_session(box, err);
	struct cx_detached *d = session != NULL ? make(gw, box) : NULL;
	struct cx_err ignored;

	if (session == NULL)
		return -err->errnum;
	if (d == NULL)
		return cx_fail(err, ENOMEM, "command");
	if (cx_exec_row_begin(&d->row, cx_box_row(box)->id, spec, err) < 0 ||
	    cx_exec_row_put(gw, &d->row, err) < 0) {
		destroy(d);
		return -err->errnum;
	}
	if (ask(d, session, spec, err) < 0) {
		(void)!cx_store_exec_remove(gw->store, d->row.sandbox_id, d->row.id, &ignored);
		destroy(d);
		return -err->errnum;
	}
	cx_list_add(cx_box_detached(box), d);
	cx_detached_wait(d, waiter);
	return 0;
}

int cx_detached_signal(struct cx_detached *d, uint32_t signo, struct cx_err *err)
{
	if (d->state != RUNNING)
		return 0; /* it means nothing any more */
	if (!cx_exec_pending(&d->exec))
		return cx_refuse(err, CX_UNAVAILABLE, "the sandbox is just being reached again");
	return cx_exec_signal(&d->exec, signo, NULL, err);
}

const struct cx_exec_row *cx_detached_row(const struct cx_detached *d)
{
	return &d->row;
}

/* ---- finding --------------------------------------------------------------------------------- */

static int end_unseen(struct cx_exec_row *row, struct cx_err *err)
{
	const struct cx_result unseen = { .unseen = true, .reason = CX_REASON_ENGINE_ERROR };
	struct cx_err why;

	(void)cx_refuse(
		&why, CX_UNAVAILABLE,
		"the engine failed while it ran, or the sandbox ended while nobody watched");
	return cx_exec_row_end(row, &unseen, 0, &why, NULL, err);
}

static int settle_lost(struct cx_gateway *gw, struct cx_exec_row *row, struct cx_err *err)
{
	struct cx_err ignored;

	if (end_unseen(row, err) < 0)
		return -err->errnum;
	(void)!cx_exec_row_put(gw, row, &ignored); /* a later look finds the same */
	return 0;
}

int cx_detached_find(struct cx_gateway *gw, const char *sandbox, const char *id,
		     struct cx_exec_row *ret, struct cx_detached **ret_running, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	int found;

	*ret_running = find(gw, sandbox, id);
	if (*ret_running != NULL)
		return 0;
	found = cx_store_exec_find(gw->store, sandbox, id, &row, err);
	if (found < 0)
		return found;
	if (found == 0)
		return cx_refuse(err, CX_NOT_FOUND,
				 "the sandbox has no command '%.64s', or it ended too long ago",
				 id);
	if (row.ended_ms == 0 && settle_lost(gw, &row, err) < 0)
		return -err->errnum;
	*ret = row;
	row = (struct cx_exec_row){ 0 };
	return 1;
}

/* ---- after a restart ------------------------------------------------------------------------- */

struct adoption {
	struct cx_gateway *gw;
	struct cx_box *box;
	struct cx_detached **end; /* of its list */
};

/* They come newest first and stay so: of two that name one slot, the newer is who is in it. */
static int adopt_row(const struct cx_exec_row *row, void *arg, struct cx_err *err)
{
	struct adoption *adoption = arg;
	struct cx_detached *d = make(adoption->gw, adoption->box);

	if (d == NULL)
		return cx_fail(err, ENOMEM, "command");
	d->earlier = true;
	if (cx_exec_row_copy(&d->row, row, err) < 0) {
		destroy(d);
		return -err->errnum;
	}
	cx_list_add(adoption->end, d);
	adoption->end = &d->next;
	return 0;
}

int cx_detached_adopt(struct cx_gateway *gw, struct cx_box *box, struct cx_err *err)
{
	struct adoption adoption = { .gw = gw, .box = box, .end = cx_box_detached(box) };

	return cx_store_exec_each(gw->store, cx_box_row(box)->id, true, adopt_row, &adoption, err);
}

int cx_detached_settle(struct cx_gateway *gw, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row end = { .id = strdup("") };

	if (end.id == NULL)
		return cx_fail(err, ENOMEM, "command");
	if (end_unseen(&end, err) < 0)
		return -err->errnum;
	return cx_store_exec_settle(gw->store, &end, err);
}

static void go_on(struct cx_detached *d, struct cx_session *session)
{
	struct cx_accounts_mark mark = cx_exec_row_mark(&d->row);
	struct cx_err err;

	d->session = session;
	d->exec.id = d->row.id;
	d->earlier = true;
	if (cx_session_exec_again(session, d->row.id, (uint32_t)d->row.timeout_ms,
				  (uint64_t)d->row.asked_us, &mark, &d->exec, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not found again yet", "id", d->row.id,
			   NULL);
}

void cx_detached_reach(struct cx_box *box, struct cx_session *session)
{
	for (struct cx_detached *d = *cx_box_detached(box); d != NULL; d = d->next)
		if (d->state == RUNNING && !cx_exec_pending(&d->exec))
			go_on(d, session);
}
