/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api/proc_inner.h"
#include "base/list.h"
#include "base/log.h"

/* ---- memory ---------------------------------------------------------------------------------- */

void cx_proc_plan_clear(struct cx_proc_plan *plan)
{
	cx_exec_spec_clear(&plan->spec);
}

void cx_proc_release(struct cx_proc *p)
{
	if (--p->holders > 0)
		return;
	for (struct cx_piece *piece = p->first, *next; piece != NULL; piece = next) {
		next = piece->next;
		free(piece);
	}
	cx_timer_clear(&p->patience);
	cx_buf_free(&p->input);
	cx_proc_plan_clear(&p->plan);
	free(p->seen);
	free(p);
}

static void list(struct cx_proc *p)
{
	struct cx_gateway *gw = p->gw;

	cx_list_add(&gw->processes, p);
	p->holders++;
}

/* Nobody finds it any more. */
static void unlist(struct cx_proc *p)
{
	if (p->link == NULL)
		return;
	cx_timer_clear(&p->kept);
	cx_list_remove(p);
	cx_proc_release(p);
}

static void kept_long_enough(struct cx_timer *timer)
{
	unlist(cx_container_of(timer, struct cx_proc, kept));
}

/* Of too many the one that was started first goes. */
static void keep(struct cx_proc *p)
{
	struct cx_proc *oldest = p;
	unsigned n = 0;

	for (struct cx_proc *one = p->gw->processes; one != NULL; one = one->next) {
		if (one->state != CX_PROC_IS_OVER)
			continue;
		n++;
		oldest = one;
	}
	p->kept.fire = kept_long_enough;
	cx_timer_set(p->gw->loop, &p->kept, CX_PROC_KEPT_MS);
	if (n > CX_PROC_KEPT_MAX)
		unlist(oldest);
}

/* ---- its life -------------------------------------------------------------------------------- */

void cx_proc_conclude(struct cx_proc *p)
{
	p->state = CX_PROC_IS_OVER;
	if (p->link != NULL && p->plan.uuid[0] != '\0' && p->why.errnum == 0)
		keep(p);
	else
		unlist(p);
	cx_proc_tell(p);
}

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	struct cx_proc *p = cx_container_of(exec, struct cx_proc, exec);

	p->pid = pid;
	p->state = CX_PROC_IS_RUNNING;
	cx_proc_tell(p);
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err)
{
	struct cx_proc *p = cx_container_of(exec, struct cx_proc, exec);

	if (err != NULL)
		p->why = *err;
	else
		p->end = *end;
	cx_proc_close_input(p);
	cx_proc_limit_output(p);
	p->state = CX_PROC_IS_DRAINING;
	cx_proc_pump(p);
	cx_proc_release(p); /* the exec's hold */
}

static void kill_it(struct cx_proc *p)
{
	struct cx_err err;

	if (cx_exec_pending(&p->exec) && cx_exec_signal(&p->exec, SIGKILL, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not killed", NULL);
}

/* ---- watchers -------------------------------------------------------------------------------- */

int cx_proc_watch(struct cx_proc *p, struct cx_proc_watch *w, struct cx_err *err)
{
	unsigned n = 0;

	for (const struct cx_proc_watch *one = p->watchers; one != NULL; one = one->next)
		n++;
	if (n >= CX_PROC_WATCHERS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d clients watch this process already",
				 CX_PROC_WATCHERS_MAX);
	*w = (struct cx_proc_watch){ .ready = w->ready, .process = p, .at = p->first };
	while (w->at != NULL && w->at->number < p->unread)
		w->at = w->at->next;
	cx_list_add(&p->watchers, w);
	p->holders++;
	return 0;
}

void cx_proc_leave(struct cx_proc_watch *w)
{
	struct cx_proc *p = w->process;

	if (p == NULL)
		return;
	w->process = NULL;
	cx_list_remove(w);
	cx_proc_drop_taken(p);
	if (p->watchers == NULL && p->plan.uuid[0] == '\0') {
		kill_it(p);
		unlist(p);
	}
	cx_proc_pump(p);
	cx_proc_release(p);
}

static bool next_event(struct cx_proc_watch *w, struct cx_proc_event *event)
{
	static const struct cx_err cut = {
		.kind = CX_UNAVAILABLE,
		.refused = 1,
		.msg = "others watch this process and are kept waiting; attach again",
	};
	struct cx_proc *p = w->process;

	if (w->cut)
		*event = (struct cx_proc_event){ .kind = CX_PROC_FAILED, .err = &cut };
	else if (!w->told_start && p->pid != 0)
		*event = (struct cx_proc_event){ .kind = CX_PROC_STARTED, .pid = p->pid };
	else if (w->at != NULL && p->state != CX_PROC_IS_STARTING) /* the start is told first */
		*event = (struct cx_proc_event){ .kind = w->at->kind,
						 .p = w->at->data,
						 .len = w->at->len };
	else if (p->state == CX_PROC_IS_OVER && p->why.errnum == 0)
		*event = (struct cx_proc_event){ .kind = CX_PROC_ENDED, .end = &p->end };
	else if (p->state == CX_PROC_IS_OVER)
		*event = (struct cx_proc_event){ .kind = CX_PROC_FAILED, .err = &p->why };
	else
		return false;
	return true;
}

static void advance(struct cx_proc_watch *w)
{
	struct cx_proc *p = w->process;

	if (w->at->number >= p->unread)
		p->unread = w->at->number + 1;
	w->at = w->at->next;
	cx_proc_drop_taken(p);
	if (p->state < CX_PROC_IS_OVER && (w->at == NULL || p->held < CX_PROC_HELD_MAX / 2))
		cx_proc_pump(p);
}

enum cx_taken cx_proc_take(struct cx_proc_watch *w,
			   void (*visit)(const struct cx_proc_event *event, void *arg), void *arg)
{
	struct cx_proc_event event;

	if (w->process == NULL || w->told_end || !next_event(w, &event))
		return w->told_end ? CX_TAKEN_LAST : CX_TAKEN_NONE;
	visit(&event, arg);
	if (event.kind == CX_PROC_STARTED)
		w->told_start = true;
	else if (event.kind == CX_PROC_ENDED || event.kind == CX_PROC_FAILED)
		w->told_end = true;
	else
		advance(w);
	return w->told_end ? CX_TAKEN_LAST : CX_TAKEN_ONE;
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static bool same_bytes(const struct cx_buf *a, const struct cx_buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

static bool same_plan(const struct cx_proc_plan *a, const struct cx_proc_plan *b)
{
	return a->spec.flags == b->spec.flags && a->input == b->input &&
	       same_bytes(&a->spec.argv, &b->spec.argv) && same_bytes(&a->spec.env, &b->spec.env) &&
	       strcmp(a->spec.cwd, b->spec.cwd) == 0 && strcmp(a->spec.user, b->spec.user) == 0;
}

static void give_up(struct cx_proc *p, struct cx_pipes *pipes)
{
	kill_it(p);
	cx_exec_forget(&p->exec);
	cx_proc_close_lanes(p);
	cx_pipes_close(pipes);
	cx_proc_release(p);
}

static int begin(struct cx_proc *p, struct cx_session *session, struct cx_proc_watch *watcher,
		 struct cx_err *err)
{
	struct cx_pipes pipes;

	if (cx_command_start(session, &p->plan.spec, &p->exec, &pipes, err) < 0) {
		cx_proc_release(p);
		return -err->errnum;
	}
	if (cx_proc_open_lanes(p, &pipes, err) < 0 || cx_proc_watch(p, watcher, err) < 0) {
		give_up(p, &pipes);
		return -err->errnum;
	}
	cx_pipes_close(&pipes); /* stdin, when there is none */
	list(p);
	cx_proc_pump(p);
	return 0;
}

static struct cx_proc *find_uuid(struct cx_gateway *gw, const char *sandbox, const char *uuid)
{
	struct cx_proc *p = gw->processes;

	while (p != NULL && (strcmp(p->sandbox, sandbox) != 0 || strcmp(p->plan.uuid, uuid) != 0))
		p = p->next;
	return p;
}

int cx_proc_start(struct cx_gateway *gw, const char *sandbox, struct cx_session *session,
		  struct cx_proc_plan *plan, struct cx_proc_watch *watcher, bool *ret_attached,
		  struct cx_err *err)
{
	struct cx_proc *p = plan->uuid[0] != '\0' ? find_uuid(gw, sandbox, plan->uuid) : NULL;

	*ret_attached = p != NULL;
	if (p != NULL && !same_plan(&p->plan, plan))
		return cx_refuse(err, CX_CONFLICT,
				 "another command has been started under this session_uuid");
	if (p != NULL)
		return cx_proc_watch(p, watcher, err);
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return cx_fail(err, ENOMEM, "process");
	p->gw = gw;
	(void)snprintf(p->sandbox, sizeof p->sandbox, "%s", sandbox);
	p->plan = *plan;
	*plan = (struct cx_proc_plan){ 0 };
	p->last = &p->first;
	p->holders = 1; /* the exec's */
	p->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	p->exec.id = p->plan.uuid[0] != '\0' ? p->plan.uuid : NULL;
	return begin(p, session, watcher, err);
}

/* A pid may be a later process's, too: of those that run there is one. */
static struct cx_proc *find_pid(struct cx_gateway *gw, const char *sandbox, uint32_t pid)
{
	struct cx_proc *ended = NULL;

	for (struct cx_proc *p = gw->processes; p != NULL && pid != 0; p = p->next) {
		if (p->pid != pid || strcmp(p->sandbox, sandbox) != 0)
			continue;
		if (p->state != CX_PROC_IS_OVER)
			return p;
		if (ended == NULL)
			ended = p;
	}
	return ended;
}

int cx_proc_find(struct cx_gateway *gw, const char *sandbox, const char *uuid, uint32_t pid,
		 struct cx_proc **ret, struct cx_err *err)
{
	struct cx_proc *p = uuid != NULL && uuid[0] != '\0' ? find_uuid(gw, sandbox, uuid)
							    : find_pid(gw, sandbox, pid);

	if (p == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "there is no such process in this sandbox");
	*ret = p;
	return 0;
}
