/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch_inner.h"

#include <stdlib.h>

#include "engine/egress.h"

/* A sandbox that a gateway may know of: RUNNING, or being killed after it was. */
static struct cx_sandbox *find(struct cx_dispatch *d, struct cx_str text, struct cx_err *err)
{
	char id[CX_ID_LEN + 1];
	struct cx_sandbox *sb = NULL;

	if (cx_str_copy(text, id, sizeof id) && cx_record_is_id(id))
		sb = cx_sandbox_find(d->sandboxes, id);
	if (sb != NULL && sb->was_running && sb->state != CX_SANDBOX_REMAINS)
		return sb;
	(void)cx_refuse(err, CX_NOT_FOUND, "there is no such sandbox");
	return NULL;
}

struct cx_sandbox *cx_dispatch_find(struct cx_dispatch *d, struct cx_str id, struct cx_err *err)
{
	struct cx_sandbox *sb = find(d, id, err);

	if (sb == NULL || sb->state == CX_SANDBOX_RUNNING)
		return sb;
	(void)cx_refuse(err, CX_CONFLICT, "the sandbox has ended");
	return NULL;
}

void cx_reach_close(struct cx_reach *reach)
{
	for (unsigned i = 0; i < reach->n; i++)
		cx_close(&reach->fds[i]);
	reach->n = 0;
}

int cx_reach_open(struct cx_dispatch *d, struct cx_sandbox *sb, struct cx_reach *ret,
		  struct cx_err *err)
{
	unsigned accounts = 0;
	int agent = cx_sandbox_connect(sb, err);

	if (agent < 0)
		return agent;
	ret->fds[0] = agent;
	ret->n = 1;
	if (cx_cgroup_accounts(d->host->cgroups, &sb->group, ret->fds + 1, &accounts, err) < 0)
		return -err->errnum;
	ret->n += accounts;
	return 0;
}

/* ---- which there are, and the way to one ----------------------------------------------------- */

int cx_do_connect(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		  struct cx_err *err)
{
	struct cx_sandbox *sb = cx_dispatch_find(d, m->connect.id, err);
	CX_AUTO(cx_reach_close) struct cx_reach reach = { 0 };
	static const struct cx_msg_connected none;

	(void)fds;
	if (sb == NULL || cx_reach_open(d, sb, &reach, err) < 0)
		return -err->errnum;
	if (cx_reply_connected_fds(d->gateway->link, asker.request, &none, reach.fds, reach.n,
				   err) < 0)
		cx_gateway_kill(d->gateway, err);
	else if (sb->out_of_memory) /* an earlier gateway may have heard of it, or none */
		cx_dispatch_oom(d, sb);
	return 0;
}

int cx_do_list(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
	       struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	for (const struct cx_sandbox *sb = d->sandboxes->first; sb != NULL; sb = sb->next)
		if (sb->state == CX_SANDBOX_RUNNING)
			CX_ANSWER(d, asker, listed, -EBADF, .id = cx_str_of(sb->record.id),
				  .uid_base = sb->record.uid_base);
	CX_ANSWER_EMPTY(d, asker, list_end);
	return 0;
}

/* ---- their end ------------------------------------------------------------------------------- */

struct cx_destroying {
	struct cx_destroying *next;
	const struct cx_sandbox *sb;
	struct cx_asker asker;
};

int cx_do_destroy(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		  struct cx_err *err)
{
	struct cx_sandbox *sb = find(d, m->destroy.id, err);
	struct cx_destroying *wait;

	(void)fds;
	if (sb == NULL)
		return -err->errnum;
	if (d->ndestroying == CX_DESTROYS_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "%d requests wait for sandboxes to end",
				 CX_DESTROYS_MAX);
	wait = malloc(sizeof *wait);
	if (wait == NULL)
		return cx_fail(err, ENOMEM, "a request");
	*wait = (struct cx_destroying){ .next = d->destroying, .sb = sb, .asker = asker };
	d->destroying = wait;
	d->ndestroying++;
	cx_sandbox_destroy(sb);
	return 0;
}

void cx_dispatch_ended(struct cx_dispatch *d, struct cx_sandbox *sb)
{
	struct cx_destroying **at = &d->destroying;
	bool asked = false;

	while (*at != NULL) {
		struct cx_destroying *wait = *at;

		if (wait->sb != sb) {
			at = &wait->next;
			continue;
		}
		asked = true;
		*at = wait->next;
		d->ndestroying--;
		CX_ANSWER_EMPTY(d, wait->asker, destroyed);
		free(wait);
	}
	if (!asked && sb->was_running && d->state == CX_PEER_READY)
		CX_ANSWER(d, cx_asker_of_event(d), ended, -EBADF, .id = cx_str_of(sb->record.id),
			  .reason = sb->reason);
}

void cx_dispatch_close(struct cx_dispatch *d)
{
	while (d->destroying != NULL) {
		struct cx_destroying *wait = d->destroying;

		d->destroying = wait->next;
		free(wait);
	}
}

/* ---- one that runs --------------------------------------------------------------------------- */

static void paused(void *arg, uint64_t tag, const struct cx_err *err)
{
	struct cx_dispatch *d = arg;
	struct cx_asker asker = cx_asker_of_tag(d, tag);

	if (err != NULL)
		cx_answer_error(d, asker, err);
	else
		CX_ANSWER_EMPTY(d, asker, changed);
}

/* As with builds, no question outlives its gateway. */
int cx_do_pause(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	struct cx_sandbox *sb = cx_dispatch_find(d, m->pause.id, err);

	(void)fds;
	if (sb == NULL)
		return -err->errnum;
	return cx_pause(d->pauses, sb, paused, d, asker.request, err);
}

int cx_do_resume(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	struct cx_sandbox *sb = cx_dispatch_find(d, m->resume.id, err);

	(void)fds;
	if (sb == NULL || cx_sandbox_resume(sb, err) < 0)
		return -err->errnum;
	CX_ANSWER_EMPTY(d, asker, changed);
	return 0;
}

int cx_do_usage(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	struct cx_sandbox *sb = cx_dispatch_find(d, m->usage.id, err);
	struct cx_usage u;

	(void)fds;
	if (sb == NULL || cx_cgroup_usage(d->host->cgroups, &sb->group, &u, err) < 0)
		return -err->errnum;
	if (u.oom_kills > 0) /* what it was is told before */
		cx_oom_look(sb->oom);
	CX_ANSWER(d, asker, used, -EBADF, .cpu_us = u.cpu_us, .memory_bytes = u.memory_bytes,
		  .memory_peak_bytes = u.memory_peak_bytes, .pids = u.pids,
		  .oom_kills = u.oom_kills);
	return 0;
}

int cx_do_trouble(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		  struct cx_err *err)
{
	const struct cx_sandbox *sb = cx_dispatch_find(d, m->trouble.id, err);
	uint32_t kills;

	(void)fds;
	if (sb == NULL || cx_cgroup_oom_kills(d->host->cgroups, &sb->group, &kills, err) < 0)
		return -err->errnum;
	if (kills > 0) /* what it was is told before */
		cx_oom_look(sb->oom);
	CX_ANSWER(d, asker, trouble_is, -EBADF, .oom_kills = kills,
		  .disk_full = cx_quota_is_full(d->host->quota, sb->record.id, &sb->writable));
	return 0;
}

int cx_do_command_slot(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		       int *fds, struct cx_err *err)
{
	const struct cx_sandbox *sb = cx_dispatch_find(d, m->command_slot.id, err);

	(void)fds;
	if (sb == NULL || cx_cgroup_slot(d->host->cgroups, &sb->group, m->command_slot.number,
					 sb->record.uid_base, err) < 0)
		return -err->errnum;
	CX_ANSWER_EMPTY(d, asker, command_slot_made);
	return 0;
}

int cx_do_network(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		  struct cx_err *err)
{
	const struct cx_sandbox *sb = cx_dispatch_find(d, m->network.id, err);
	struct cx_slot_link link;
	bool ip6;

	(void)fds;
	if (sb == NULL || cx_egress_network(d->host, sb->record.slot, &link, err) < 0)
		return -err->errnum;
	ip6 = !IN6_IS_ADDR_UNSPECIFIED(&link.address6);
	CX_ANSWER(d, asker, network_is, -EBADF, .slot = link.slot,
		  .number = cx_firewall_number(d->host->firewall, link.slot),
		  .address4 = { (const char *)&link.address4, sizeof link.address4 },
		  .address6 = { (const char *)&link.address6, ip6 ? sizeof link.address6 : 0 });
	return 0;
}

int cx_do_egress(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	const struct cx_sandbox *sb = cx_dispatch_find(d, m->egress.id, err);
	uint32_t number;

	(void)fds;
	if (sb == NULL || cx_egress_set(d->host, sb->record.slot, &m->egress, &number, err) < 0)
		return -err->errnum;
	CX_ANSWER(d, asker, egress_set, -EBADF, .number = number);
	return 0;
}
