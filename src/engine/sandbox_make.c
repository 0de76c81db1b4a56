/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/str.h"
#include "engine/sandbox_inner.h"
#include "runtime/rootfs.h"

/* ---- want of memory -------------------------------------------------------------------------- */

static void found_oom(void *arg, const struct cx_memory_report *report)
{
	struct cx_sandbox *sb = arg;

	sb->out_of_memory = true;
	sb->memory = *report;
	sb->set->watch.oom(sb->set->watch.arg, sb);
}

/* Without it the end of commands still brings it to light, and the end of the sandbox. */
void cx_sandbox_watch_memory(struct cx_sandbox *sb)
{
	struct cx_err err;

	if (cx_oom_watch(sb->set->host, &sb->group, found_oom, sb, &sb->oom, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "memory not watched", "id", sb->record.id, NULL);
}

/* ---- making a blank: before each step the record says enough to undo it ---------------------- */

static int make_directory(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	char id[CX_ID_LEN + 1];

	for (int tries = 0; tries < 8; tries++) {
		if (cx_record_new_id(id, err) < 0)
			return -err->errnum;
		if (mkdirat(h->dirs.sandboxes, id, 0700) == 0) {
			cx_record_init(&sb->record, id);
			cx_index_add(&sb->set->by_id, &sb->by_id, sb->record.id);
			return 0;
		}
		if (errno != EEXIST)
			return cx_fail(err, errno, "make its directory");
	}
	return cx_refuse(err, CX_INTERNAL, "no unused name found");
}

static int make_ids(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	char owner[CX_ID_OWNER_MAX];

	if (cx_format(owner, sizeof owner, "%s/sandboxes/%s", err, h->dirs.run_path,
		      sb->record.id) < 0)
		return -err->errnum;
	return cx_ids_reserve(&h->ids, owner, &sb->record.uid_base, err);
}

/* Noted before the link is made, as the ids are. */
static int make_slot(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_slots *slots = sb->set->host->slots;
	struct cx_slot_link link;

	if (slots == NULL)
		return 0;
	if (cx_slots_get(slots, &sb->record.slot, err) < 0)
		return -err->errnum;
	cx_slots_link(slots, sb->record.slot, &link);
	sb->record.address4 = link.address4.s_addr;
	return 0;
}

/* The record is saved again with the process: until then nothing lives that needs it. */
void cx_sandbox_note_writable(struct cx_sandbox *sb)
{
	sb->record.disk = sb->writable.kind;
	sb->record.device = sb->writable.device;
}

static int make_writable(struct cx_sandbox *sb, struct cx_err *err)
{
	if (cx_quota_make(sb->set->host->quota, sb->record.id, sb->record.uid_base, &sb->writable,
			  err) < 0)
		return -err->errnum;
	cx_sandbox_note_writable(sb);
	return 0;
}

static int make_groups(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_cgroups *groups = sb->set->host->cgroups;
	/*
	 * A claim that wants others sets them: until then nothing is in there but the agent, whose
	 * share of the processors is set, too. With a small one it would not come up in its time.
	 */
	const struct cx_limits *limits = &sb->set->usual;

	if (limits->pids == 0 || limits->cpu_milli < 1000)
		limits = NULL;
	if (cx_cgroup_make(groups, sb->record.id, sb->record.uid_base, limits, &sb->group, err) <
		    0 ||
	    cx_cgroup_slot(groups, &sb->group, 1, sb->record.uid_base, err) < 0)
		return -err->errnum;
	cx_sandbox_watch_memory(sb); /* from before anything is in there */
	return 0;
}

static const struct { /* in this order: a record exists before what it speaks of */
	const char *name;
	int (*run)(struct cx_sandbox *sb, struct cx_err *err);
} make_steps[] = {
	{ "directory", make_directory },       { "ids", make_ids },
	{ "link number", make_slot },	       { "record", cx_sandbox_save },
	{ "writable layer", make_writable },   { "cgroups", make_groups },
	{ "process", cx_sandbox_ask_process }, /* is asked for, and connected with later */
};

int cx_sandbox_make(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_sandbox *sb = cx_sandboxes_add(set, CX_SANDBOX_STARTING, err);

	if (sb == NULL)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(make_steps); i++) {
		if (cx_fault_step(make_steps[i].name, err) == 0 && make_steps[i].run(sb, err) == 0)
			continue;
		(void)cx_wrap(err, "blank sandbox: %s", make_steps[i].name);
		cx_sandbox_fault(sb, err);
		return -err->errnum;
	}
	sb->made = true;
	cx_timer_set(&set->host->loop, &sb->timer, CX_AGENT_HELLO_MS);
	return 0;
}
