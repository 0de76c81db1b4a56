/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/str.h"
#include "engine/sandbox_inner.h"
#include "proto/agent_msgs.h"
#include "runtime/rootfs.h"

enum { PLACE_PATH = CX_CONFIG_TEXT + 32 };

static int record_claim(struct cx_sandbox *sb, struct cx_err *err)
{
	const struct cx_claim_plan *plan = sb->plan;

	sb->record.state = CX_RECORD_CLAIMED;
	sb->record.cpu_milli = plan->limits.cpu_milli;
	sb->record.memory_bytes = plan->limits.memory_bytes;
	sb->record.pids = plan->limits.pids;
	sb->record.disk_bytes = plan->disk.bytes;
	sb->record.nlayers = plan->nlayers;
	memcpy(sb->record.layers, plan->layers, sizeof plan->layers[0] * plan->nlayers);
	cx_sandbox_promise_recorded(sb);
	return cx_sandbox_save(sb, err);
}

/*
 * The directory that it writes to, as rootfs.h wants it; path has PLACE_PATH bytes. Mounts may be
 * over its directory in RUN for a moment, as not each has one on the disk.
 */
static int describe_writable(const struct cx_sandbox *sb, const struct cx_writable *w, char *path,
			     struct cx_rootfs_writable *ret, struct cx_err *err)
{
	if (cx_format(path, PLACE_PATH, "%s/sandboxes/%s", err, sb->set->host->dirs.run_path,
		      sb->record.id) < 0)
		return -err->errnum;
	*ret = (struct cx_rootfs_writable){ .dir = w->dir,
					    .is_mount = cx_quota_is_mount(w),
					    .at = path };
	return 0;
}

/* Mounts the layers and puts the sandbox's own directory over them: a detached mount. */
static int make_root(struct cx_sandbox *sb, struct cx_rootfs_clones *ret_clones, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	struct cx_rootfs_writable writable;
	int layers[CX_LAYERS_MAX];
	char path[PLACE_PATH];

	for (; sb->held < sb->record.nlayers; sb->held++)
		if (cx_layers_hold(&h->layers, sb->record.layers[sb->held], &layers[sb->held],
				   err) < 0)
			return -err->errnum;
	if (describe_writable(sb, &sb->writable, path, &writable, err) < 0)
		return -err->errnum;
	return cx_rootfs_make(layers, sb->held, sb->userns, &writable, ret_clones, err);
}

/* Mostly it is ready: blanks are made for the limit that was asked for last. */
static int limit_disk(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	enum cx_quota_kind kind = sb->plan->in_memory ? CX_QUOTA_MEMORY : cx_quota_kind(h->quota);

	if (cx_quota_set(h->quota, sb->record.id, sb->record.uid_base, kind, &sb->plan->disk,
			 &sb->writable, err) < 0)
		return -err->errnum;
	cx_sandbox_note_writable(sb);
	return 0;
}

static int claim_steps(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	struct cx_msg_claim m = { .hostname = cx_str_of(sb->plan->hostname) };
	CX_AUTO(cx_rootfs_drop) struct cx_rootfs_clones clones = { .n = 0 };
	cx_autofd int root = -EBADF;

	if (cx_host_check_limits(h, &sb->plan->limits, err) < 0 || limit_disk(sb, err) < 0 ||
	    record_claim(sb, err) < 0)
		return -err->errnum;
	root = cx_fault_step("root", err) == 0 ? make_root(sb, &clones, err) : -EBADF;
	if (root < 0)
		return cx_wrap(err, "root file system");
	if (cx_fault_step("limits", err) < 0 ||
	    cx_cgroup_limit(h->cgroups, &sb->group, &sb->plan->limits, err) < 0)
		return cx_wrap(err, "limits");
	sb->set->usual = sb->plan->limits;
	if (cx_fault_step("claim", err) < 0)
		return -err->errnum;
	if (cx_msg_claim_send(cx_link_sock(sb->agent), CX_CLAIM_REQUEST, &m, &root, 1, err) == 0) {
		if (clones.attached == 0)
			cx_reaper_let_go(sb->set->reaper, clones.fds, clones.n);
		return 0;
	}
	sb->lost = err->errnum == EPIPE || err->errnum == ECONNRESET;
	return -err->errnum;
}

/* ---- actions of the table -------------------------------------------------------------------- */

void cx_sandbox_announce(struct cx_sandbox *sb)
{
	cx_timer_clear(&sb->timer);
	sb->set->watch.blank(sb->set->watch.arg, sb);
}

void cx_sandbox_begin_claim(struct cx_sandbox *sb)
{
	struct cx_err err;

	cx_timer_set(&sb->set->host->loop, &sb->timer, CX_AGENT_CLAIM_MS);
	if (claim_steps(sb, &err) < 0)
		cx_sandbox_fault(sb, &err);
}

void cx_sandbox_confirm(struct cx_sandbox *sb)
{
	struct cx_err err;

	cx_timer_clear(&sb->timer);
	cx_link_close(sb->agent); /* from here on the gateway talks to the agent */
	sb->agent = NULL;
	cx_close(&sb->userns);
	sb->plan = NULL;
	sb->record.state = CX_RECORD_RUNNING;
	if (cx_sandbox_save(sb, &err) < 0) {
		cx_sandbox_fault(sb, &err);
		return;
	}
	sb->was_running = true;
	cx_oom_begin(sb->oom);
	sb->set->watch.running(sb->set->watch.arg, sb);
}

/* ---- what it has written -------------------------------------------------------------------- */

/* One on a device is mounted again: kernels before 6.15 clone no mount that was attached before. */
int cx_sandbox_tree(const struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_writable again = sb->writable;
	struct cx_rootfs_writable writable;
	char path[PLACE_PATH];
	cx_autofd int dir = -EBADF;

	if (again.dir < 0 || again.kind == CX_QUOTA_LOOP) {
		if (cx_quota_find(sb->set->host->quota, sb->record.id, &again, err) < 0)
			return -err->errnum;
		dir = again.dir;
	}
	if (describe_writable(sb, &again, path, &writable, err) < 0)
		return -err->errnum;
	return cx_rootfs_upper(&writable, err);
}
