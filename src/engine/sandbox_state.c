/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/str.h"
#include "engine/sandbox_inner.h"

void cx_sandbox_blame(struct cx_sandbox *sb, const struct cx_err *err)
{
	if (sb->why.errnum == 0) /* the first cause counts */
		sb->why = *err;
}

void cx_sandbox_fault(struct cx_sandbox *sb, const struct cx_err *err)
{
	cx_sandbox_blame(sb, err);
	cx_sandbox_deliver(sb, CX_EVENT_FAULT);
}

/* What it has so far is replaced, so the sum of all is right whatever its record says later. */
void cx_sandbox_promise(struct cx_sandbox *sb, const struct cx_promises *part)
{
	struct cx_promises *sum = &sb->set->promised;

	sum->cpu_milli += part->cpu_milli - sb->promised.cpu_milli;
	sum->memory_bytes += part->memory_bytes - sb->promised.memory_bytes;
	sum->pids += part->pids - sb->promised.pids;
	sum->disk_bytes += part->disk_bytes - sb->promised.disk_bytes;
	sb->promised = *part;
}

/* What runs no more has its disk still. */
void cx_sandbox_promise_recorded(struct cx_sandbox *sb)
{
	const bool runs = sb->state != CX_SANDBOX_REMAINS;
	const struct cx_record *r = &sb->record;
	const struct cx_promises part = {
		.cpu_milli = runs ? r->cpu_milli : 0,
		.memory_bytes = runs ? r->memory_bytes : 0,
		.pids = runs ? r->pids : 0,
		.disk_bytes = r->disk == CX_QUOTA_MEMORY ? 0 : r->disk_bytes,
	};

	cx_sandbox_promise(sb, &part);
}

int cx_sandbox_save(struct cx_sandbox *sb, struct cx_err *err)
{
	return cx_record_save(sb->set->host->dirs.sandboxes, &sb->record, err);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define STARTING CX_SANDBOX_STARTING
#define BLANK	 CX_SANDBOX_BLANK
#define CLAIMING CX_SANDBOX_CLAIMING
#define RUNNING	 CX_SANDBOX_RUNNING
#define ENDING	 CX_SANDBOX_ENDING
#define REMAINS	 CX_SANDBOX_REMAINS

struct rule {
	bool set;
	enum cx_sandbox_state next;
	void (*run)(struct cx_sandbox *sb); /* may free it; NULL: nothing to do */
};

static const struct rule rules[CX_SANDBOX_STATE_MAX][CX_EVENT_MAX] = {
	[STARTING] = {
		[CX_EVENT_HELLO] = { true, BLANK, cx_sandbox_announce },
		[CX_EVENT_CLAIM] = { true, ENDING, cx_sandbox_end }, /* nobody knows of it yet */
		[CX_EVENT_CONFIRM] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_FAULT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DEADLINE] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_EXIT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DESTROY] = { true, ENDING, cx_sandbox_end },
	},
	[BLANK] = {
		[CX_EVENT_HELLO] = { true, ENDING, cx_sandbox_end }, /* once is enough */
		[CX_EVENT_CLAIM] = { true, CLAIMING, cx_sandbox_begin_claim },
		[CX_EVENT_CONFIRM] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_FAULT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DEADLINE] = { true, BLANK, NULL },
		[CX_EVENT_EXIT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DESTROY] = { true, ENDING, cx_sandbox_end },
	},
	[CLAIMING] = {
		[CX_EVENT_HELLO] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_CLAIM] = { true, ENDING, cx_sandbox_end }, /* never two images in one */
		[CX_EVENT_CONFIRM] = { true, RUNNING, cx_sandbox_confirm },
		[CX_EVENT_FAULT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DEADLINE] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_EXIT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DESTROY] = { true, ENDING, cx_sandbox_end },
	},
	[RUNNING] = {
		[CX_EVENT_HELLO] = { true, RUNNING, NULL }, /* the gateway's business now */
		[CX_EVENT_CLAIM] = { true, RUNNING, NULL },
		[CX_EVENT_CONFIRM] = { true, RUNNING, NULL },
		[CX_EVENT_FAULT] = { true, ENDING, cx_sandbox_end }, /* its record could not be written */
		[CX_EVENT_DEADLINE] = { true, RUNNING, NULL },
		[CX_EVENT_EXIT] = { true, ENDING, cx_sandbox_end },
		[CX_EVENT_DESTROY] = { true, ENDING, cx_sandbox_end },
	},
	[ENDING] = {
		[CX_EVENT_HELLO] = { true, ENDING, NULL },
		[CX_EVENT_CLAIM] = { true, ENDING, NULL },
		[CX_EVENT_CONFIRM] = { true, ENDING, NULL },
		[CX_EVENT_FAULT] = { true, ENDING, NULL },
		[CX_EVENT_DEADLINE] = { true, ENDING, cx_sandbox_insist },
		[CX_EVENT_EXIT] = { true, REMAINS, cx_sandbox_over },
		[CX_EVENT_DESTROY] = { true, ENDING, NULL }, /* it is on its way */
	},
	[REMAINS] = {
		[CX_EVENT_HELLO] = { true, REMAINS, NULL },
		[CX_EVENT_CLAIM] = { true, REMAINS, NULL },
		[CX_EVENT_CONFIRM] = { true, REMAINS, NULL },
		[CX_EVENT_FAULT] = { true, REMAINS, NULL },
		[CX_EVENT_DEADLINE] = { true, REMAINS, cx_sandbox_clean },
		[CX_EVENT_EXIT] = { true, REMAINS, NULL },
		[CX_EVENT_DESTROY] = { true, REMAINS, NULL }, /* it has happened */
	},
};

/* An event may free the sandbox: nothing may touch it afterwards. */
void cx_sandbox_deliver(struct cx_sandbox *sb, enum cx_sandbox_event event)
{
	const struct rule *rule = &rules[sb->state][event];
	struct cx_err err;

	if (sb->state < ENDING && rule->next == ENDING) {
		(void)cx_refuse(&err, CX_TIMEOUT, "its agent did not answer in time");
		if (event == CX_EVENT_DEADLINE)
			cx_sandbox_blame(sb, &err);
		sb->reason = event == CX_EVENT_DESTROY ? CX_END_DESTROYED : CX_END_AGENT_EXITED;
	}
	sb->set->count[sb->state]--;
	sb->state = rule->next;
	sb->set->count[sb->state]++;
	cx_sandbox_promise_recorded(sb);
	/* Before it is taken away: who waits for it is promised the same all the time. */
	if (sb->lost && rule->run == cx_sandbox_end)
		sb->set->watch.lost(sb->set->watch.arg, sb);
	if (rule->run != NULL)
		rule->run(sb);
}

bool cx_sandbox_rule(enum cx_sandbox_state state, enum cx_sandbox_event event,
		     enum cx_sandbox_state *ret_next)
{
	*ret_next = rules[state][event].next;
	return rules[state][event].set;
}

const char *cx_sandbox_state_name(enum cx_sandbox_state state)
{
	static const char *const names[] = {
		[STARTING] = "starting", [BLANK] = "blank",   [CLAIMING] = "claiming",
		[RUNNING] = "running",	 [ENDING] = "ending", [REMAINS] = "remains",
	};

	return state < CX_LEN(names) ? names[state] : "unknown";
}

/* ---- the set --------------------------------------------------------------------------------- */

void cx_sandboxes_open(struct cx_sandboxes *ret, struct cx_host *host, struct cx_reaper *reaper,
		       const struct cx_sandbox_watch *watch)
{
	*ret = (struct cx_sandboxes){ .host = host, .reaper = reaper, .watch = *watch };
}

void cx_sandboxes_close(struct cx_sandboxes *set)
{
	while (set->first != NULL)
		cx_sandbox_forget(set->first);
	cx_sandboxes_stop_hearing(set);
}

static void deadline(struct cx_timer *timer)
{
	cx_sandbox_deliver(cx_container_of(timer, struct cx_sandbox, timer), CX_EVENT_DEADLINE);
}

struct cx_sandbox *cx_sandboxes_add(struct cx_sandboxes *set, enum cx_sandbox_state state,
				    struct cx_err *err)
{
	struct cx_sandbox *sb = calloc(1, sizeof *sb);

	if (sb == NULL) {
		(void)cx_fail(err, ENOMEM, "a sandbox");
		return NULL;
	}
	*sb = (struct cx_sandbox){ .set = set,
				   .state = state,
				   .userns = -EBADF,
				   .mounts = -EBADF,
				   .record = { .slot = CX_SLOT_NONE, .disk = CX_QUOTA_NONE },
				   .group = { .ns = -EBADF },
				   .writable = CX_WRITABLE_NONE,
				   .reaping = { .id = sb->record.id,
						.fds = { -EBADF, -EBADF },
						.done = cx_sandbox_reaped },
				   .timer = { .fire = deadline } };
	cx_list_add(&set->first, sb);
	set->count[state]++;
	return sb;
}

bool cx_sandbox_is_well(const struct cx_sandbox *sb)
{
	struct pollfd at[] = {
		{ .fd = cx_child_pidfd(sb->process), .events = POLLIN },
		{ .fd = cx_link_sock(sb->agent), .events = POLLIN },
	};

	return poll(at, CX_LEN(at), 0) == 0;
}

void cx_sandbox_claim(struct cx_sandbox *sb, const struct cx_claim_plan *plan)
{
	sb->plan = plan;
	cx_sandbox_deliver(sb, CX_EVENT_CLAIM);
}

void cx_sandbox_destroy(struct cx_sandbox *sb)
{
	cx_sandbox_deliver(sb, CX_EVENT_DESTROY);
}

struct cx_sandbox *cx_sandbox_find(struct cx_sandboxes *set, const char *id)
{
	struct cx_indexed *found = cx_index_find(&set->by_id, id);

	return found != NULL ? cx_container_of(found, struct cx_sandbox, by_id) : NULL;
}

struct cx_sandbox *cx_sandbox_find_state(struct cx_sandboxes *set, enum cx_sandbox_state state)
{
	struct cx_sandbox *sb = set->count[state] > 0 ? set->first : NULL;

	while (sb != NULL && sb->state != state)
		sb = sb->next;
	return sb;
}
