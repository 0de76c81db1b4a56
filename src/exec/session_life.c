/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"

enum { PACKETS_PER_ROUND = 16 };

bool cx_session_alive(const struct cx_session *session)
{
	return !session->lost && !session->closed;
}

static void disconnect(struct cx_session *session)
{
	session->lost = true;
	cx_timer_clear(&session->tick);
	cx_timer_clear(&session->settle);
	cx_timer_clear(&session->look);
	cx_session_free_queue(session);
	cx_loop_drop(session->loop, &session->src);
}

static void lose(struct cx_session *session, const struct cx_err *err)
{
	disconnect(session);
	session->events.lost(session, err, session->events.arg);
}

static void ready(struct cx_source *src, uint32_t events)
{
	struct cx_session *session = cx_container_of(src, struct cx_session, src);
	struct cx_err err = { 0 };
	int r = 0;

	if ((events & EPOLLOUT) != 0)
		r = cx_session_flush(session, &err);
	for (int i = 0; r >= 0 && i < PACKETS_PER_ROUND && cx_session_alive(session); i++) {
		r = cx_session_receive(session, &err);
		if (r == 0)
			break;
	}
	if (r < 0 && cx_session_alive(session)) {
		(void)cx_wrap(&err, "agent");
		lose(session, &err);
	}
}

/* The owner stops waiting; the slot stays, so that an answer that comes after all is recognised. */
static void expire(struct cx_session *session, unsigned i, const struct cx_err *err)
{
	struct cx_pending *slot = &session->slots[i];
	uint32_t request = slot->request;
	struct cx_result end;
	bool begun;

	slot->deadline_ms = 0;
	slot->kill_late = (slot->waits & (CX_WAIT_START | CX_WAIT_INFO)) != 0;
	if ((slot->waits & (CX_WAIT_EXIT | CX_WAIT_DONE)) != 0)
		cx_session_kill_latecomer(session, request); /* may move the slots */
	begun = cx_session_last_seen(session, &session->slots[i], CX_REASON_ENGINE_ERROR, &end);
	cx_pending_fail(&session->slots[i], true, begun ? &end : NULL, err);
}

static void tick(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, tick);
	uint64_t now = cx_now_ms();
	struct cx_err err = { 0 };
	bool more = !session->greeted;

	(void)cx_refuse(&err, CX_TIMEOUT, "the sandbox did not answer in time");
	if (!session->greeted && now >= session->hello_deadline_ms) {
		lose(session, &err);
		return;
	}
	for (unsigned i = 0; i < session->nslots && cx_session_alive(session); i++) {
		uint64_t due = session->slots[i].deadline_ms;

		more |= due > now;
		if (due == 0 || due > now)
			continue;
		expire(session, i, &err);
	}
	if (more && cx_session_alive(session))
		cx_timer_set(session->loop, &session->tick, CX_SESSION_TICK_MS);
}

static void free_session(struct cx_session *session)
{
	cx_accounts_close(session->accounts);
	free(session->slots);
	free(session);
}

static void destroy(struct cx_source *src)
{
	struct cx_session *session = cx_container_of(src, struct cx_session, src);

	if (session->closed && session->telling == 0)
		free_session(session);
}

int cx_session_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
		    const struct cx_session_events *events, struct cx_session **ret,
		    struct cx_err *err)
{
	cx_autofd int fd = cx_take_fd(sock);
	cx_autofree struct cx_session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return cx_fail(err, ENOMEM, "session with a sandbox");
	if (cx_set_nonblock(fd, true, err) < 0)
		return cx_wrap(err, "session with a sandbox");
	*session = (struct cx_session){
		.src = { .fd = fd, .ready = ready, .destroy = destroy },
		.loop = loop,
		.scratch = scratch,
		.events = *events,
		.tick = { .fire = tick },
		.settle = { .fire = cx_session_settle },
		.look = { .fire = cx_session_look },
		.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
		.tail = &session->head,
		.slotless_tail = &session->slotless,
		.hello_deadline_ms = cx_now_ms() + CX_SESSION_HELLO_MS,
	};
	if (cx_loop_add(loop, &session->src, EPOLLIN, err) < 0)
		return cx_wrap(err, "session with a sandbox");
	(void)cx_take_fd(&fd);
	cx_timer_set(loop, &session->tick, CX_SESSION_TICK_MS);
	*ret = cx_take_ptr(&session);
	return 0;
}

/* Callbacks may close the session: it is freed by the last walk over its slots. */
static void end_walk(struct cx_session *session)
{
	if (--session->telling == 0 && session->closed && !session->src.added)
		free_session(session);
}

static void fail_all(struct cx_session *session, bool keep_slots, enum cx_reason why,
		     const struct cx_err *err)
{
	session->telling++;
	for (unsigned i = 0; i < session->nslots; i++) {
		struct cx_pending *slot = &session->slots[i];
		struct cx_result end;
		bool begun = cx_session_last_seen(session, slot, why, &end);

		cx_pending_fail(slot, keep_slots && slot->waits != CX_WAIT_HELD,
				begun ? &end : NULL, err);
	}
	end_walk(session);
}

void cx_session_fail(struct cx_session *session, enum cx_reason why, const struct cx_err *err)
{
	if (session->closed)
		return;
	if (!session->lost)
		disconnect(session);
	fail_all(session, false, why, err);
}

void cx_session_give_up(struct cx_session *session, enum cx_reason why, const struct cx_err *err)
{
	fail_all(session, true, why, err);
}

void cx_session_release(struct cx_session *session, unsigned number, bool disk_full)
{
	session->telling++;
	for (unsigned i = 0; i < session->nslots; i++)
		if (session->slots[i].waits == CX_WAIT_HELD && session->slots[i].held <= number)
			cx_pending_tell_end(&session->slots[i], disk_full);
	end_walk(session);
}

bool cx_session_busy(const struct cx_session *session)
{
	for (unsigned i = 0; i < session->nslots; i++)
		if (session->slots[i].owner != NULL)
			return true;
	return false;
}

void cx_session_close(struct cx_session *session)
{
	if (session == NULL || session->closed)
		return;
	session->closed = true;
	cx_timer_clear(&session->tick);
	cx_timer_clear(&session->settle);
	cx_timer_clear(&session->look);
	cx_session_free_queue(session);
	for (unsigned i = 0; i < session->nslots; i++)
		(void)cx_pending_release(&session->slots[i]);
	if (!session->src.added) {
		if (session->telling == 0)
			free_session(session);
		return;
	}
	cx_loop_drop(session->loop, &session->src); /* destroy() frees, after the running batch */
}
