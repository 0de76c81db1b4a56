/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pause.h"

#include <string.h>

struct cx_pausing {
	struct cx_pauses *set;
	struct cx_pausing *next;
	char id[CX_ID_LEN + 1]; /* it may end meanwhile */
	struct cx_timer look;
	uint64_t give_up_ms;
	cx_pause_done *done;
	void *arg;
	uint64_t tag;
};

static void forget(struct cx_pausing *p)
{
	struct cx_pausing **at = &p->set->first;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->set->n--;
	cx_timer_clear(&p->look);
	free(p);
}

static struct cx_sandbox *find(const struct cx_pausing *p)
{
	struct cx_sandbox *sb = cx_sandbox_find(p->set->sandboxes, p->id);

	return sb != NULL && sb->state == CX_SANDBOX_RUNNING ? sb : NULL;
}

static void end(struct cx_pausing *p, const struct cx_err *why)
{
	cx_pause_done *done = p->done;
	void *arg = p->arg;
	uint64_t tag = p->tag;

	forget(p);
	done(arg, tag, why);
}

/* 1: it stands still; 0: not yet. */
static int look_at(struct cx_pausing *p, struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_err ignored;
	int r;

	if (sb == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended");
	r = cx_sandbox_is_paused(sb, err);
	if (r == 0 && cx_now_ms() >= p->give_up_ms)
		r = cx_refuse(err, CX_TIMEOUT, "its processes did not stand still in %d seconds",
			      CX_PAUSE_MS / 1000);
	if (r < 0)
		(void)cx_sandbox_resume(sb, &ignored);
	return r;
}

static void look(struct cx_timer *timer)
{
	struct cx_pausing *p = cx_container_of(timer, struct cx_pausing, look);
	struct cx_err err;
	int r = look_at(p, find(p), &err);

	if (r == 0)
		cx_timer_set(&p->set->sandboxes->host->loop, timer, CX_PAUSE_LOOK_MS);
	else
		end(p, r < 0 ? &err : NULL);
}

int cx_pause(struct cx_pauses *pauses, struct cx_sandbox *sb, cx_pause_done *done, void *arg,
	     uint64_t tag, struct cx_err *err)
{
	struct cx_pausing *p;

	if (pauses->n == CX_PAUSES_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "%d sandboxes are being paused",
				 CX_PAUSES_MAX);
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return cx_fail(err, ENOMEM, "a pause");
	if (cx_sandbox_pause(sb, err) < 0) {
		free(p);
		return -err->errnum;
	}
	*p = (struct cx_pausing){ .set = pauses,
				  .next = pauses->first,
				  .look = { .fire = look },
				  .give_up_ms = cx_now_ms() + CX_PAUSE_MS,
				  .done = done,
				  .arg = arg,
				  .tag = tag };
	memcpy(p->id, sb->record.id, sizeof p->id);
	pauses->first = p;
	pauses->n++;
	cx_timer_set(&pauses->sandboxes->host->loop, &p->look, 0);
	return 0;
}

void cx_pauses_close(struct cx_pauses *pauses)
{
	while (pauses->first != NULL) {
		struct cx_sandbox *sb = find(pauses->first);
		struct cx_err ignored;

		if (sb != NULL)
			(void)cx_sandbox_resume(sb, &ignored);
		forget(pauses->first);
	}
}
