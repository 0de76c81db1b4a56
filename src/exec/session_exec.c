/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "exec/witness.h"

/* Between two looks at a command with limits, and the least when its CPU time may be over soon. */
enum { LOOK_MS = 100, LOOK_SOON_MS = 10 };

void cx_session_kill_latecomer(struct cx_session *session, uint32_t request)
{
	struct cx_pending want = { .waits = CX_WAIT_OK,
				   .deadline_ms = cx_now_ms() + CX_SESSION_ANSWER_MS };
	struct cx_msg_exec_signal m = { .exec = request, .signo = SIGKILL };
	struct cx_err ignored;
	uint32_t number;

	(void)!cx_session_ask_exec_signal(session, &want, &m, NULL, 0, &number, &ignored);
}

static bool is_limited(const struct cx_pending *slot)
{
	return slot->group > 0 && (slot->limits.cpu_us > 0 || slot->limits.memory_bytes > 0 ||
				   slot->limits.processes > 0);
}

static enum cx_reason exceeded(const struct cx_exec_limits *limits,
			       const struct cx_accounts_hits *hits)
{
	if (limits->cpu_us > 0 && hits->cpu_us >= limits->cpu_us)
		return CX_REASON_CPU_TIMEOUT;
	if (limits->memory_bytes > 0 && hits->kills > 0)
		return CX_REASON_OOM;
	if (limits->processes > 0 && hits->refused > 0)
		return CX_REASON_PIDS_LIMIT;
	return CX_REASON_EXITED;
}

static void end_for(struct cx_session *session, struct cx_pending *slot, enum cx_reason why)
{
	slot->why = why;
	slot->closed = true;
	cx_session_kill_latecomer(session, slot->request); /* may move the slots */
}

/* In how many milliseconds to look again: no sooner than its CPU time can be over. */
static uint64_t look_at(struct cx_session *session, struct cx_pending *slot)
{
	struct cx_accounts_hits hits;
	enum cx_reason why;
	uint64_t ms = LOOK_MS;

	cx_accounts_look(session->accounts, slot->group, &hits);
	why = exceeded(&slot->limits, &hits);
	if (why != CX_REASON_EXITED) {
		end_for(session, slot, why);
		return UINT64_MAX;
	}
	if (slot->limits.cpu_us > 0)
		ms = (slot->limits.cpu_us - hits.cpu_us) / 1000 / session->cpus;
	if (ms < LOOK_SOON_MS)
		return LOOK_SOON_MS;
	return slot->limits.memory_bytes + slot->limits.processes > 0 && ms > LOOK_MS ? LOOK_MS
										      : ms;
}

void cx_session_look(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, look);
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < session->nslots; i++) {
		struct cx_pending *slot = &session->slots[i];
		uint64_t ms;

		if (slot->waits != CX_WAIT_EXIT || slot->why != CX_REASON_EXITED ||
		    !is_limited(slot))
			continue;
		ms = look_at(session, slot);
		next = ms < next ? ms : next;
	}
	if (next != UINT64_MAX)
		cx_timer_set(session->loop, &session->look, next);
}

int cx_session_on_started(struct cx_session *session, struct cx_pending *slot,
			  struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_started m;
	struct cx_exec *exec = slot->owner;
	uint32_t request = slot->request;

	if (!cx_msg_started_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->waits = CX_WAIT_EXIT;
	slot->pid = m.pid;
	slot->deadline_ms = 0;
	if (slot->limit > 0)
		slot->deadline_ms = cx_now_ms() + slot->limit + CX_SESSION_ANSWER_MS;
	if (slot->kill_late) {
		cx_session_kill_latecomer(session, request);
		return 0;
	}
	if (is_limited(slot))
		cx_timer_set(session->loop, &session->look, 0);
	if (exec != NULL && exec->started != NULL)
		exec->started(exec, m.pid);
	return 0;
}

/* Signals that a program gets, or gives itself, when what it writes has no room. */
static bool can_be_for_disk(const struct cx_result *end)
{
	if (end->reason == CX_REASON_SIGNALLED)
		return end->status == SIGBUS || end->status == SIGABRT;
	return end->reason == CX_REASON_EXITED && end->status != 0;
}

void cx_pending_tell_end(struct cx_pending *slot, bool disk_full)
{
	struct cx_result end = slot->end;
	struct cx_exec *exec = cx_pending_release(slot);

	if (disk_full && can_be_for_disk(&end))
		end.reason = CX_REASON_DISK_FULL;
	cx_pending_free(slot);
	if (exec != NULL)
		exec->ended(exec, &end, NULL);
}

/* Also what ended by itself was over its limits, if it was so in the end. */
static enum cx_reason judge(struct cx_session *session, const struct cx_pending *slot)
{
	const struct cx_figures *used = &slot->end.used;
	bool fine = slot->end.how == CX_EXITED_CODE && slot->end.status == 0;
	struct cx_accounts_hits hits;

	if (slot->why != CX_REASON_EXITED)
		return slot->why;
	if (slot->end.how == CX_EXITED_TIMEOUT || (fine && !is_limited(slot)))
		return slot->end.reason;
	cx_accounts_look(session->accounts, slot->group, &hits);
	if (hits.kills > 0)
		return CX_REASON_OOM;
	if (slot->limits.cpu_us > 0 && used->user_us + used->system_us >= slot->limits.cpu_us)
		return CX_REASON_CPU_TIMEOUT;
	return hits.refused + hits.refused_around > 0 && !fine ? CX_REASON_PIDS_LIMIT
							       : slot->end.reason;
}

/* What it used is read at once: only so long is the slot its own. */
static void read_used(struct cx_session *session, const struct cx_pending *slot,
		      struct cx_result *ret)
{
	if (slot->group == 0)
		return;
	ret->source = cx_accounts_source(session->accounts);
	cx_accounts_read(session->accounts, slot->group, &ret->used);
}

/* Either somebody inside has taken it over, or it is wrong: who looks has to know where. */
static void log_other_end(const struct cx_session *session, const struct cx_pending *slot)
{
	const struct cx_exec *exec = slot->owner;
	const char *sandbox = session->events.sandbox, *id = exec != NULL ? exec->id : NULL;
	char pid[16];

	(void)snprintf(pid, sizeof pid, "%u", (unsigned)slot->pid);
	cx_log(CX_LOG_WARNING, "an agent told another end than the kernel", "id",
	       sandbox != NULL ? sandbox : "none", "exec", id != NULL ? id : "none", "pid", pid,
	       NULL);
}

/* The agent's word counts only where the kernel cannot be asked. */
static const char *check_word(struct cx_session *session, const struct cx_pending *slot,
			      struct cx_msg_exited *said)
{
	struct cx_witness saw;

	if (session->scratch->nfds == 0 || !cx_witness_ask(session->scratch->fds[0], &saw) ||
	    (slot->group > 0 && !cx_accounts_owns(session->accounts, slot->group, saw.group)))
		return "agent";
	if (saw.status != said->status || (saw.how != said->how && said->how != CX_EXITED_TIMEOUT))
		log_other_end(session, slot);
	if (said->how != CX_EXITED_TIMEOUT)
		said->how = saw.how;
	said->status = saw.status;
	return "kernel";
}

static void measure(struct cx_session *session, struct cx_pending *slot,
		    const struct cx_msg_exited *said, const char *exit_source)
{
	static const enum cx_reason reasons[CX_EXITED_MAX] = {
		[CX_EXITED_CODE] = CX_REASON_EXITED,
		[CX_EXITED_SIGNAL] = CX_REASON_SIGNALLED,
		[CX_EXITED_TIMEOUT] = CX_REASON_WALL_TIMEOUT,
	};

	slot->end = (struct cx_result){ .how = (enum cx_exited)said->how,
					.status = said->status,
					.exit_source = exit_source,
					.reason = reasons[said->how],
					.wall_us = cx_now_us() - slot->asked_us };
	if (slot->group == 0)
		return;
	read_used(session, slot, &slot->end);
	slot->end.reason = judge(session, slot);
	slot->closed |= slot->end.how == CX_EXITED_TIMEOUT;
	cx_session_give_back(session, slot);
}

int cx_session_on_exited(struct cx_session *session, struct cx_pending *slot,
			 struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_exited said;
	const char *exit_source;
	bool fine;

	if (!cx_msg_exited_get(body, &said))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (said.how == CX_EXITED_TIMEOUT && slot->limit == 0)
		return cx_refuse(err, CX_INVALID, "a timeout that nobody set");
	exit_source = check_word(session, slot, &said);
	measure(session, slot, &said, exit_source);
	slot->waits = CX_WAIT_HELD;
	slot->deadline_ms = 0;
	fine = slot->end.how == CX_EXITED_CODE && slot->end.status == 0;
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	slot->held = 0;
	if (!fine && session->events.hold != NULL)
		slot->held = session->events.hold(session, session->events.arg);
	if (slot->held == 0)
		cx_pending_tell_end(slot, false);
	/* After what he has set going who was just told: his answer does not wait for our slot. */
	if (cx_session_alive(session) && session->settle.link != NULL)
		cx_session_settle_soon(session);
	return 0;
}

/* An end that was kept back is known, but it may have been that of its sandbox. */
static bool came_with_sandbox(const struct cx_result *end, enum cx_reason why)
{
	if (end->reason == CX_REASON_EXITED)
		return why == CX_REASON_OOM;
	return end->reason == CX_REASON_SIGNALLED &&
	       (end->status == SIGKILL || why == CX_REASON_OOM);
}

bool cx_session_last_seen(struct cx_session *session, const struct cx_pending *slot,
			  enum cx_reason why, struct cx_result *ret)
{
	if (slot->waits == CX_WAIT_HELD) {
		*ret = slot->end;
		if (came_with_sandbox(ret, why))
			ret->reason = why;
		return true;
	}
	if (slot->waits != CX_WAIT_EXIT)
		return false;
	*ret = (struct cx_result){ .unseen = true,
				   .reason = slot->why != CX_REASON_EXITED ? slot->why : why,
				   .wall_us = cx_now_us() - slot->asked_us };
	read_used(session, slot, ret);
	return true;
}

int cx_session_exec(struct cx_session *session, const struct cx_msg_exec *plan,
		    struct cx_pipes *pipes, struct cx_exec *exec, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_START, exec);
	struct cx_msg_exec m = *plan;
	unsigned nfds = (plan->flags & CX_EXEC_TTY) != 0 || plan->key.len > 0 ? 1 : 3;
	uint32_t request = 0;
	int r;

	want.limit = plan->timeout_ms;
	want.asked_us = cx_now_us();
	if (session->accounts != NULL && session->slotless == NULL)
		want.group = m.slot = cx_accounts_take(session->accounts);
	want.limits = exec->limits;
	if (cx_session_limit(session, &want, err) < 0)
		r = -err->errnum;
	else if (pipes->ntheirs != nfds)
		r = cx_refuse(err, CX_INVALID, "%u descriptors for a command that needs %u",
			      pipes->ntheirs, nfds);
	else
		r = cx_session_ask_exec(session, &want, &m, pipes->theirs, nfds, &request, err);
	cx_pipes_close_theirs(pipes);
	if (r < 0) {
		cx_session_give_back(session, &want);
		return r;
	}
	exec->session = session;
	exec->request = request;
	if (session->slotless != NULL) /* a refusal must not come before this returns */
		cx_session_settle_soon(session);
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	return 0;
}

int cx_session_exec_again(struct cx_session *session, const char *key, uint32_t timeout_ms,
			  uint64_t asked_us, const struct cx_accounts_mark *mark,
			  struct cx_exec *exec, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_START, exec);
	struct cx_msg_exec_watch m = { .key = cx_str_of(key) };
	uint32_t request = 0;

	want.limit = timeout_ms;
	want.asked_us = asked_us;
	if (mark != NULL && session->accounts != NULL)
		want.group = cx_accounts_take_again(session->accounts, mark, &want.limits);
	if (cx_session_ask_exec_watch(session, &want, &m, NULL, 0, &request, err) < 0) {
		cx_session_give_back(session, &want);
		return -err->errnum;
	}
	exec->session = session;
	exec->request = request;
	return 0;
}

struct cx_accounts_mark cx_exec_mark(const struct cx_exec *exec)
{
	struct cx_accounts_mark mark = { .number = 0 };
	const struct cx_pending *slot = cx_session_find(exec->session, exec->request);

	if (slot != NULL && slot->group > 0)
		cx_accounts_mark(exec->session->accounts, slot->group, &slot->limits, &mark);
	return mark;
}

bool cx_exec_pending(const struct cx_exec *exec)
{
	return exec->session != NULL;
}

void cx_exec_forget(struct cx_exec *exec)
{
	struct cx_pending *slot = NULL;

	if (exec->session != NULL)
		slot = cx_session_find(exec->session, exec->request);
	if (slot != NULL)
		slot->owner = NULL;
	exec->session = NULL;
}

int cx_exec_signal(struct cx_exec *exec, uint32_t signo, struct cx_call *call, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_OK, call);
	struct cx_msg_exec_signal m = { .exec = exec->request, .signo = signo };
	struct cx_pending *slot;
	uint32_t request;

	if (exec->session == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	slot = cx_session_find(exec->session, exec->request);
	if (slot != NULL && signo == SIGKILL)
		slot->closed = true;
	if (cx_session_ask_exec_signal(exec->session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(exec->session, call, request);
}

int cx_exec_end(struct cx_exec *exec, enum cx_reason why, struct cx_err *err)
{
	struct cx_pending *slot = NULL;

	if (exec->session != NULL)
		slot = cx_session_find(exec->session, exec->request);
	if (slot == NULL || slot->waits == CX_WAIT_HELD)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	if (slot->why == CX_REASON_EXITED)
		end_for(exec->session, slot, why);
	return 0;
}

int cx_exec_resize(struct cx_exec *exec, uint32_t rows, uint32_t cols, struct cx_call *call,
		   struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_OK, call);
	struct cx_msg_exec_resize m = { .exec = exec->request, .rows = rows, .cols = cols };
	uint32_t request;

	if (exec->session == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	if (cx_session_ask_exec_resize(exec->session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(exec->session, call, request);
}
