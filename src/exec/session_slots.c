/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

#include <string.h>

struct cx_pending *cx_session_find(struct cx_session *session, uint32_t request)
{
	uint32_t i = (request - 1) % CX_SESSION_NUMBER_STEP;

	if (request == 0 || i >= session->nslots || session->slots[i].request != request)
		return NULL;
	return &session->slots[i];
}

static int grow_slots(struct cx_session *session, struct cx_err *err)
{
	unsigned n = session->nslots > 0 ? 2 * session->nslots : 16;
	struct cx_pending *slots;

	if (n > CX_SESSION_PENDING_MAX)
		return cx_refuse(err, CX_LIMIT, "%d requests to one sandbox are unanswered",
				 CX_SESSION_PENDING_MAX);
	slots = realloc(session->slots, n * sizeof *slots);
	if (slots == NULL)
		return cx_fail(err, ENOMEM, "table of requests");
	memset(slots + session->nslots, 0, (n - session->nslots) * sizeof *slots);
	session->slots = slots;
	session->nslots = n;
	return 0;
}

int cx_session_take_slot(struct cx_session *session, const struct cx_pending *want,
			 uint32_t *ret_request, struct cx_err *err)
{
	unsigned i = 0;

	if (!cx_session_alive(session))
		return cx_refuse(err, CX_UNAVAILABLE, "the connection to the sandbox is closed");
	while (i < session->nslots && session->slots[i].request != 0)
		i++;
	if (i == session->nslots && grow_slots(session, err) < 0)
		return -err->errnum;
	session->rounds = (session->rounds + 1) % (UINT32_MAX / CX_SESSION_NUMBER_STEP);
	session->slots[i] = *want;
	session->slots[i].request = session->rounds * CX_SESSION_NUMBER_STEP + i + 1;
	if (want->deadline_ms != 0 && session->tick.link == NULL)
		cx_timer_set(session->loop, &session->tick, CX_SESSION_TICK_MS);
	*ret_request = session->slots[i].request;
	return 0;
}

void cx_pending_free(struct cx_pending *slot)
{
	if (slot != NULL)
		*slot = (struct cx_pending){ .request = 0 };
}

void *cx_pending_release(struct cx_pending *slot)
{
	void *owner = slot->owner;

	slot->owner = NULL;
	if (owner == NULL)
		return NULL;
	if ((slot->waits & CX_WAIT_EXEC) != 0)
		((struct cx_exec *)owner)->session = NULL;
	else if ((slot->waits & CX_WAIT_FILE) != 0)
		((struct cx_file *)owner)->session = NULL;
	else
		((struct cx_call *)owner)->session = NULL;
	return owner;
}

void cx_pending_fail(struct cx_pending *slot, bool keep_slot, const struct cx_result *end,
		     const struct cx_err *err)
{
	unsigned waits = slot->waits;
	void *owner = cx_pending_release(slot);

	if (!keep_slot)
		cx_pending_free(slot);
	if (owner == NULL)
		return;
	if ((waits & CX_WAIT_EXEC) != 0)
		((struct cx_exec *)owner)->ended(owner, end, err);
	else if ((waits & CX_WAIT_FILE) != 0)
		((struct cx_file *)owner)->ended(owner, err);
	else
		((struct cx_call *)owner)->done(owner, NULL, err);
}

void cx_session_fail_pending(struct cx_session *session, struct cx_pending *slot,
			     const struct cx_err *err)
{
	if (slot == NULL)
		return;
	cx_session_give_back(session, slot);
	cx_pending_fail(slot, false, NULL, err);
}

void cx_pending_answer(struct cx_pending *slot, const struct cx_answer *answer)
{
	struct cx_call *call = cx_pending_release(slot);

	cx_pending_free(slot);
	if (call != NULL)
		call->done(call, answer, NULL);
}
