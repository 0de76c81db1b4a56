/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include "base/fault.h"
#include "base/log.h"

static int set(struct cx_sandbox *sb, enum cx_freeze what, bool on, struct cx_err *err)
{
	if (cx_fault_step(on ? "freeze" : "thaw", err) < 0)
		return -err->errnum;
	return cx_cgroup_freeze(sb->set->host->cgroups, &sb->group, what, on, err);
}

static void let_go(struct cx_sandbox *sb, enum cx_freeze what)
{
	struct cx_err err;

	if (set(sb, what, false, &err) == 0 || err.kind == CX_UNAVAILABLE)
		return;
	if (set(sb, what, false, &err) < 0) /* want of memory, say; nobody comes back to it */
		cx_log_err(CX_LOG_ERROR, &err, "sandbox stands still", "id", sb->record.id, NULL);
}

/* ---- for a commit --------------------------------------------------------------------------- */

int cx_sandbox_freeze(struct cx_sandbox *sb, struct cx_err *err)
{
	if (sb->state != CX_SANDBOX_RUNNING || sb->frozen)
		return cx_refuse(err, CX_CONFLICT,
				 sb->frozen ? "the sandbox is being committed already"
					    : "the sandbox has ended");
	sb->frozen = true; /* whether or not all of it works */
	if (set(sb, CX_FREEZE_ALL, true, err) == 0)
		return 0;
	cx_sandbox_thaw(sb);
	return -err->errnum;
}

int cx_sandbox_is_frozen(const struct cx_sandbox *sb, struct cx_err *err)
{
	return cx_cgroup_is_frozen(sb->set->host->cgroups, &sb->group, CX_FREEZE_ALL, err);
}

void cx_sandbox_thaw(struct cx_sandbox *sb)
{
	if (sb->frozen)
		let_go(sb, CX_FREEZE_ALL);
	sb->frozen = false;
}

/* ---- for its user --------------------------------------------------------------------------- */

/* The record comes first: what it says is what a next caissond makes true. */
static int record(struct cx_sandbox *sb, bool paused, struct cx_err *err)
{
	sb->record.paused = paused;
	return cx_sandbox_save(sb, err);
}

int cx_sandbox_pause(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_err ignored;

	if (sb->state != CX_SANDBOX_RUNNING)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended");
	if (record(sb, true, err) == 0 && set(sb, CX_FREEZE_WORK, true, err) == 0)
		return 0;
	(void)cx_sandbox_resume(sb, &ignored);
	return -err->errnum;
}

int cx_sandbox_is_paused(const struct cx_sandbox *sb, struct cx_err *err)
{
	if (sb->record.paused == 0)
		return cx_refuse(err, CX_CONFLICT, "the sandbox was resumed meanwhile");
	return cx_cgroup_is_frozen(sb->set->host->cgroups, &sb->group, CX_FREEZE_WORK, err);
}

int cx_sandbox_resume(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_err ignored;

	if (sb->record.paused == 0)
		return 0;
	if (record(sb, false, err) == 0 && set(sb, CX_FREEZE_WORK, false, err) == 0)
		return 0;
	cx_log_err(CX_LOG_ERROR, err, "sandbox not resumed", "id", sb->record.id, NULL);
	(void)!record(sb, true, &ignored);
	return -err->errnum;
}

/* ---- across daemons ------------------------------------------------------------------------- */

void cx_sandbox_release(struct cx_sandbox *sb)
{
	sb->frozen = false;
	let_go(sb, CX_FREEZE_WORK);
	let_go(sb, CX_FREEZE_ALL);
}

void cx_sandbox_find_frozen(struct cx_sandbox *sb)
{
	struct cx_err err;

	if (sb->record.paused == 0) {
		cx_sandbox_release(sb);
		return;
	}
	if (set(sb, CX_FREEZE_WORK, true, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "sandbox does not stand still", "id", sb->record.id,
			   NULL);
	let_go(sb, CX_FREEZE_ALL);
}
