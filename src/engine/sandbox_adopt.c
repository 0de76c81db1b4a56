/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "engine/sandbox_inner.h"

/* Without its number a link is cut: nobody could say whose packets are on it. */
static void take_slot(struct cx_sandbox *sb)
{
	struct cx_slots *slots = sb->set->host->slots;
	struct in_addr address = { .s_addr = sb->record.address4 };
	struct cx_err err;

	if (sb->record.slot == CX_SLOT_NONE)
		return;
	if (slots != NULL && cx_slots_take(slots, sb->record.slot, address, &err) == 0)
		return;
	if (slots != NULL)
		cx_log_err(CX_LOG_WARNING, &err, "sandbox has no network any more", "id",
			   sb->record.id, NULL);
	sb->record.slot = CX_SLOT_NONE;
}

/* Without it the sandbox lives, and cannot be committed. */
static void find_writable(struct cx_sandbox *sb)
{
	struct cx_err err;

	sb->writable.kind = sb->record.disk;
	sb->writable.device = sb->record.device;
	if (cx_quota_find(sb->set->host->quota, sb->record.id, &sb->writable, &err) < 0)
		cx_log_err(CX_LOG_INFO, &err, "what a sandbox writes is out of reach", "id",
			   sb->record.id, NULL);
}

int cx_sandbox_adopt(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
		     struct cx_err *err)
{
	struct cx_sandbox *sb = cx_sandboxes_add(set, CX_SANDBOX_RUNNING, err);

	if (sb == NULL)
		return -err->errnum;
	sb->was_running = true;
	sb->record = *record;
	cx_index_add(&set->by_id, &sb->by_id, sb->record.id);
	cx_sandbox_promise_recorded(sb);
	if (cx_cgroup_find(set->host->cgroups, record->id, &sb->group, err) < 0 ||
	    cx_child_adopt(&set->host->loop, pidfd, cx_sandbox_process_exited, sb, &sb->process,
			   err) < 0) {
		cx_sandbox_forget(sb);
		return -err->errnum;
	}
	cx_sandbox_find_frozen(sb);
	cx_sandbox_watch_memory(sb);
	cx_oom_look_back(sb->oom);
	cx_oom_begin(sb->oom);
	find_writable(sb);
	take_slot(sb);
	for (; sb->held < record->nlayers; sb->held++)
		if (cx_layers_hold(&set->host->layers, record->layers[sb->held], NULL, err) < 0)
			break; /* out of memory: then it is not counted, but lives */
	return 0;
}

int cx_sandbox_bury(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
		    struct cx_err *err)
{
	struct cx_sandbox *sb = cx_sandboxes_add(set, CX_SANDBOX_RUNNING, err);
	struct cx_err ignored;

	if (sb == NULL)
		return -err->errnum;
	sb->record = *record;
	cx_index_add(&set->by_id, &sb->by_id, sb->record.id);
	cx_sandbox_promise_recorded(sb);
	take_slot(sb);
	if (*pidfd >= 0 && cx_child_adopt(&set->host->loop, pidfd, cx_sandbox_process_exited, sb,
					  &sb->process, err) < 0) {
		cx_sandbox_forget(sb);
		return -err->errnum;
	}
	if (sb->process != NULL &&
	    cx_cgroup_find(set->host->cgroups, record->id, &sb->group, &ignored) == 0)
		cx_sandbox_release(sb);
	cx_sandbox_deliver(sb, CX_EVENT_DESTROY);
	return 0;
}
