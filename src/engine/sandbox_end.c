/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/list.h"
#include "engine/egress.h"
#include "engine/sandbox_inner.h"

enum {
	DYING_MS = 5000,    /* after which a process that does not die is told of */
	RETRY_MS_MAX = 500, /* between two tries to remove the groups */
};

static void retry(struct cx_sandbox *sb, uint64_t after_ms)
{
	cx_timer_set(&sb->set->host->loop, &sb->timer, after_ms);
}

static void log_slow(struct cx_sandbox *sb, const char *what, const struct cx_err *err)
{
	if (cx_now_ms() - sb->ending_since_ms >= DYING_MS)
		cx_log_err(CX_LOG_WARNING, err, what, "id", sb->record.id, NULL);
}

/* Moves what it wrote to where a process of its own deletes it. Mostly nothing is on this disk. */
static int discard_writable(struct cx_sandbox *sb, struct cx_err *err)
{
	const struct cx_dirs *d = &sb->set->host->dirs;

	if (cx_quota_remove(sb->set->host->quota, sb->record.id, err) < 0)
		return -err->errnum;
	if (unlinkat(d->writable, sb->record.id, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (renameat(d->writable, sb->record.id, d->trash, sb->record.id) < 0)
		return cx_fail(err, errno, "move its writable directory to the trash");
	sb->has_trash = true;
	return 0;
}

/*
 * The record goes before the ids: as long as it names them, they must be its own. The directory
 * goes last: as long as it is there, nobody else takes the ids for left over. On failure nothing is
 * given back, and all of it is done again.
 */
static int discard_run_files(struct cx_sandbox *sb, struct cx_err *err)
{
	static const char *const files[] = { "agent.sock", "record" };
	struct cx_host *h = sb->set->host;
	char path[CX_ID_LEN + sizeof "/agent.sock"];

	for (size_t i = 0; i < CX_LEN(files); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", sb->record.id, files[i]);
		if (unlinkat(h->dirs.sandboxes, path, 0) < 0 && errno != ENOENT)
			return cx_fail(err, errno, "remove '%s'", path);
	}
	cx_ids_release(&h->ids, sb->record.uid_base);
	cx_egress_release(h, sb->record.slot);
	if (unlinkat(h->dirs.sandboxes, sb->record.id, AT_REMOVEDIR) < 0) /* as the ids' entry */
		(void)unlinkat(h->dirs.sandboxes, sb->record.id, AT_REMOVEDIR);
	return 0;
}

static void release_layers(struct cx_sandbox *sb)
{
	for (; sb->held > 0; sb->held--)
		cx_layers_release(&sb->set->host->layers, sb->record.layers[sb->held - 1]);
}

void cx_sandbox_forget(struct cx_sandbox *sb)
{
	static const struct cx_promises nothing;
	struct cx_sandboxes *set = sb->set;

	cx_sandbox_promise(sb, &nothing);
	cx_sandbox_wait_no_more(sb);
	cx_timer_clear(&sb->timer);
	cx_reaper_forget(set->reaper, &sb->reaping);
	cx_child_forget(sb->process, false);
	cx_link_close(sb->agent);
	cx_oom_close(sb->oom);
	cx_cgroup_close(&sb->group);
	cx_close(&sb->userns);
	cx_close(&sb->mounts);
	cx_close(&sb->writable.dir);
	release_layers(sb);
	set->count[sb->state]--;
	cx_index_remove(&sb->by_id);
	cx_list_remove(sb);
	free(sb);
}

void cx_sandbox_insist(struct cx_sandbox *sb)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_INTERNAL, "its first process does not die");
	log_slow(sb, "sandbox is slow to end", &err);
	cx_child_signal(sb->process, SIGKILL);
	retry(sb, DYING_MS);
}

static void clean_again(struct cx_sandbox *sb, const struct cx_err *why)
{
	log_slow(sb, "remains of a sandbox cannot be removed yet", why);
	sb->retry_ms = sb->retry_ms == 0 ? 1 : sb->retry_ms * 2;
	if (sb->retry_ms > RETRY_MS_MAX)
		sb->retry_ms = RETRY_MS_MAX;
	retry(sb, sb->retry_ms);
}

static void gone(struct cx_sandbox *sb)
{
	sb->set->watch.gone(sb->set->watch.arg, sb);
	cx_sandbox_forget(sb);
}

/* What takes its time is done by another process; the timer brings it here again. */
void cx_sandbox_clean(struct cx_sandbox *sb)
{
	struct cx_err err;

	if (sb->record.id[0] == '\0') { /* not even its directory was made */
		gone(sb);
		return;
	}
	if (cx_fault_step("cgroups away", &err) < 0) {
		clean_again(sb, &err);
		return;
	}
	cx_cgroup_close(&sb->group);
	sb->reaping.fds[0] = cx_take_fd(&sb->mounts);
	if (cx_quota_is_mount(&sb->writable))
		sb->reaping.fds[1] = cx_take_fd(&sb->writable.dir);
	cx_reaper_take(sb->set->reaper, &sb->reaping);
}

/* Its mounts and groups are gone, or not all of them yet. The rest is done in a moment. */
void cx_sandbox_reaped(struct cx_reaping *reaping, const struct cx_err *why)
{
	struct cx_sandbox *sb = cx_container_of(reaping, struct cx_sandbox, reaping);
	struct cx_err err;

	if (why == NULL &&
	    (cx_fault_step("writable away", &err) < 0 || discard_writable(sb, &err) < 0 ||
	     cx_fault_step("record away", &err) < 0 || discard_run_files(sb, &err) < 0))
		why = &err;
	if (why != NULL)
		clean_again(sb, why);
	else
		gone(sb);
}

/*
 * With its process 1 the kernel has ended all others, and nobody can start another one. Who waits
 * for its end waits for this; what is left is given back when it is really gone.
 */
void cx_sandbox_over(struct cx_sandbox *sb)
{
	cx_timer_clear(&sb->timer);
	release_layers(sb);
	sb->set->watch.ended(sb->set->watch.arg, sb);
	cx_sandbox_clean(sb);
}

static bool ran_out_of_memory(struct cx_sandbox *sb)
{
	struct cx_err ignored;
	uint32_t kills = 0;

	cx_oom_look(sb->oom);
	return sb->out_of_memory ||
	       (sb->group.ntop > 0 &&
		cx_cgroup_oom_kills(sb->set->host->cgroups, &sb->group, &kills, &ignored) == 0 &&
		kills > 0);
}

static void find_reason(struct cx_sandbox *sb)
{
	if (sb->reason == CX_END_AGENT_EXITED && ran_out_of_memory(sb))
		sb->reason = CX_END_OOM;
}

void cx_sandbox_end(struct cx_sandbox *sb)
{
	struct cx_err ignored;

	while (sb->spawn != 0) /* what is being made must not be left behind */
		cx_sandboxes_take_answer(sb->set);
	find_reason(sb);
	sb->ending_since_ms = cx_now_ms();
	sb->plan = NULL;
	cx_timer_clear(&sb->timer);
	cx_oom_close(sb->oom);
	sb->oom = NULL;
	cx_link_close(sb->agent);
	sb->agent = NULL;
	cx_close(&sb->userns);
	sb->record.state = CX_RECORD_ENDING;
	(void)!cx_sandbox_save(sb, &ignored);
	if (sb->process != NULL)
		cx_child_signal(sb->process, SIGKILL);
	if (sb->frozen || sb->record.paused != 0)
		cx_sandbox_release(sb); /* what stands still does not die */
	cx_quota_discard(&sb->writable);
	if (sb->process != NULL)
		retry(sb, DYING_MS);
	else
		cx_sandbox_deliver(sb, CX_EVENT_EXIT);
}
