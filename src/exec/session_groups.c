/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

enum { SETTLE_MS = 1000 }; /* between two looks at what commands have left behind */

/* The last field of exec. */
static void put_slot(struct cx_queued *q, uint32_t number)
{
	struct cx_writer w = { .p = q->bytes + q->len - sizeof number, .left = sizeof number };

	(void)cx_put_u32(&w, &number, UINT32_MAX);
}

int cx_session_limit(struct cx_session *session, const struct cx_pending *slot, struct cx_err *err)
{
	if (slot->group == 0 || (slot->limits.memory_bytes == 0 && slot->limits.processes == 0 &&
				 !slot->limits.watched))
		return 0;
	return cx_accounts_limit(session->accounts, slot->group, &slot->limits, err);
}

/* Gives slots to commands that wait for one, as many as there are. */
static void send_slotless(struct cx_session *session)
{
	struct cx_err err;

	while (session->slotless != NULL && cx_session_alive(session)) {
		struct cx_queued *q = session->slotless;
		struct cx_pending *slot = cx_session_find(session, q->request);

		if (q->type == CX_MSG_exec && slot != NULL) {
			slot->group = cx_accounts_take(session->accounts);
			if (slot->group == 0)
				return;
			put_slot(q, slot->group);
		}
		session->slotless = q->next;
		if (session->slotless == NULL)
			session->slotless_tail = &session->slotless;
		q->next = NULL;
		session->queued_bytes -= q->len;
		if ((slot != NULL && cx_session_limit(session, slot, &err) < 0) ||
		    cx_session_post(session, q, q->bytes, q->fds, &err) < 0)
			cx_session_fail_pending(session, slot, &err);
		cx_queued_free(q);
	}
}

static void need_slot(struct cx_session *session)
{
	uint32_t number;

	if (session->asking || session->events.need_slot == NULL)
		return;
	number = cx_accounts_want(session->accounts, session->slotless != NULL);
	if (number == 0)
		return;
	session->asking = true;
	session->events.need_slot(session, number, session->events.arg);
}

void cx_session_settle(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, settle);
	bool more = cx_accounts_settle(session->accounts);

	send_slotless(session);
	if (!cx_session_alive(session))
		return;
	need_slot(session);
	if (more && session->settle.link == NULL)
		cx_timer_set(session->loop, &session->settle, SETTLE_MS);
}

void cx_session_settle_soon(struct cx_session *session)
{
	cx_timer_clear(&session->settle);
	cx_timer_set(session->loop, &session->settle, 0);
}

void cx_session_give_back(struct cx_session *session, struct cx_pending *slot)
{
	if (slot->group == 0 || session->accounts == NULL)
		return;
	cx_accounts_give_back(session->accounts, slot->group, slot->closed);
	slot->group = 0;
	cx_session_settle_soon(session);
}

void cx_session_measure(struct cx_session *session, struct cx_accounts *accounts)
{
	session->accounts = accounts;
}

static void fail_slotless(struct cx_session *session, const struct cx_err *err)
{
	struct cx_queued *all = cx_session_take_slotless(session);

	for (const struct cx_queued *q = all; q != NULL && cx_session_alive(session); q = q->next) {
		session->queued_bytes -= q->len;
		cx_session_fail_pending(session, cx_session_find(session, q->request), err);
	}
	cx_queued_free_all(all);
}

void cx_session_slot_made(struct cx_session *session, uint32_t number, const struct cx_err *err)
{
	if (!cx_session_alive(session) || !session->asking)
		return;
	session->asking = false;
	cx_accounts_made(session->accounts, number, err == NULL);
	if (err != NULL && session->slotless != NULL)
		fail_slotless(session, err);
	send_slotless(session);
	if (cx_session_alive(session) && err == NULL)
		need_slot(session);
}
