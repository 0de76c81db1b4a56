/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch_inner.h"

#include <stdlib.h>
#include <string.h>

#include "engine/egress.h"

struct creating {
	struct cx_create create;
	struct cx_dispatch *dispatch;
	struct cx_asker asker;
	bool linked;		     /* its policy is to be in force when it is answered */
	struct cx_msg_egress policy; /* what of it is views is behind this */
	uint32_t number;	     /* of it, when it is; else 0 */
	unsigned set_for;	     /* create.gives: whose it is */
	char rules[];
};

static int set_policy(struct creating *c, const struct cx_sandbox *sb, struct cx_err *err)
{
	if (c->set_for != c->create.gives)
		c->number = 0;
	if (!c->linked || c->number != 0)
		return 0;
	c->set_for = c->create.gives;
	return cx_egress_set(c->dispatch->host, sb->record.slot, &c->policy, &c->number, err);
}

static int answer_linked(const struct creating *c, const struct cx_sandbox *sb,
			 const struct cx_msg_created *m, const struct cx_reach *reach,
			 struct cx_err *err)
{
	struct cx_msg_created_linked linked = {
		.id = m->id, .uid_base = m->uid_base, .micros = m->micros, .number = c->number
	};
	struct cx_slot_link link;
	bool ip6;

	if (cx_egress_network(c->dispatch->host, sb->record.slot, &link, err) < 0)
		return -err->errnum;
	ip6 = !IN6_IS_ADDR_UNSPECIFIED(&link.address6);
	linked.slot = link.slot;
	linked.address4 = (struct cx_str){ (const char *)&link.address4, sizeof link.address4 };
	linked.address6 =
		(struct cx_str){ (const char *)&link.address6, ip6 ? sizeof link.address6 : 0 };
	return cx_reply_created_linked_fds(c->dispatch->gateway->link, c->asker.request, &linked,
					   reach->fds, reach->n, err);
}

static int answer_created(const struct creating *c, struct cx_sandbox *sb,
			  const struct cx_reach *reach, struct cx_err *err)
{
	uint64_t micros = cx_now_us() - c->create.asked_us;
	struct cx_msg_created m = { .id = cx_str_of(sb->record.id),
				    .uid_base = sb->record.uid_base,
				    .micros = micros < UINT32_MAX ? (uint32_t)micros : UINT32_MAX };

	if (c->linked)
		return answer_linked(c, sb, &m, reach, err);
	return cx_reply_created_fds(c->dispatch->gateway->link, c->asker.request, &m, reach->fds,
				    reach->n, err);
}

static void created(struct cx_create *create, struct cx_sandbox *sb, const struct cx_err *why)
{
	cx_autofree struct creating *c = cx_container_of(create, struct creating, create);
	struct cx_dispatch *d = c->dispatch;
	CX_AUTO(cx_reach_close) struct cx_reach reach = { 0 };
	struct cx_err err;
	int r;

	if (sb == NULL) {
		cx_answer_error(d, c->asker, why);
		return;
	}
	r = set_policy(c, sb, &err) < 0 ? -1 : cx_reach_open(d, sb, &reach, &err);
	if (r < 0)
		cx_answer_error(d, c->asker, &err);
	if (r < 0 || !cx_asker_is_there(d, c->asker)) {
		cx_sandbox_destroy(sb); /* nobody knows its id */
		return;
	}
	cx_cgroup_close_work(&sb->group);
	if (answer_created(c, sb, &reach, &err) < 0)
		cx_gateway_kill(d->gateway, &err);
}

static int plan_create(struct cx_dispatch *d, const struct cx_msg_create *m,
		       struct cx_claim_plan *plan, struct cx_err *err)
{
	*plan = (struct cx_claim_plan){ .limits = { .cpu_milli = m->cpu_milli,
						    .memory_bytes = m->memory_bytes,
						    .pids = m->pids },
					.nlayers = m->layers.len / CX_DIFF_ID };
	if (plan->nlayers == 0 || m->layers.len % CX_DIFF_ID != 0)
		return cx_refuse(err, CX_INVALID, "%u bytes of layer ids", m->layers.len);
	if (!cx_str_copy(m->hostname, plan->hostname, sizeof plan->hostname))
		return cx_refuse(err, CX_INVALID, "a host name of %u bytes", m->hostname.len);
	memcpy(plan->layers, m->layers.p, m->layers.len);
	plan->in_memory = m->in_memory != 0;
	if (cx_host_check_limits(d->host, &plan->limits, err) < 0 ||
	    cx_host_plan_disk(d->host, m->disk_bytes, plan->in_memory, m->memory_bytes, &plan->disk,
			      err) < 0)
		return -err->errnum;
	cx_capacity_glance(d->host, d->pool, &d->capacity);
	return cx_capacity_check(&d->capacity, plan, err);
}

static struct creating *new_creating(struct cx_dispatch *d, struct cx_asker asker, uint32_t rules)
{
	struct creating *c = calloc(1, sizeof *c + rules);

	if (c == NULL)
		return NULL;
	c->create.done = created;
	c->create.asked_us = cx_now_us();
	c->dispatch = d;
	c->asker = asker;
	return c;
}

static int begin_create(struct creating **slot, const struct cx_msg_create *m, struct cx_err *err)
{
	struct creating *c = *slot;
	struct cx_err later;

	if (plan_create(c->dispatch, m, &c->create.plan, err) < 0 ||
	    cx_pool_create(c->dispatch->pool, &c->create, err) < 0) {
		c->dispatch->was_full |= err->kind == CX_BUSY || err->kind == CX_LIMIT;
		return -err->errnum;
	}
	*slot = NULL; /* created() frees it */
	/* While the agent is at its claim. What fails now fails again when it is to be answered. */
	if (c->create.given != NULL)
		(void)!set_policy(c, c->create.given, &later);
	return 0;
}

int cx_do_create(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	cx_autofree struct creating *c = new_creating(d, asker, 0);

	(void)fds;
	if (c == NULL)
		return cx_fail(err, ENOMEM, "a request");
	return begin_create(&c, &m->create, err);
}

int cx_do_create_linked(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
			int *fds, struct cx_err *err)
{
	const struct cx_msg_create_linked *l = &m->create_linked;
	const struct cx_msg_create plan = { .cpu_milli = l->cpu_milli,
					    .memory_bytes = l->memory_bytes,
					    .pids = l->pids,
					    .hostname = l->hostname,
					    .layers = l->layers,
					    .disk_bytes = l->disk_bytes,
					    .in_memory = l->in_memory };
	cx_autofree struct creating *c = new_creating(d, asker, l->rules.len);

	(void)fds;
	if (c == NULL)
		return cx_fail(err, ENOMEM, "a request");
	if (l->rules.len > 0)
		memcpy(c->rules, l->rules.p, l->rules.len);
	c->linked = true;
	c->policy = (struct cx_msg_egress){ .mode = l->mode,
					    .names = l->names,
					    .link = l->link,
					    .rules = { .p = c->rules, .len = l->rules.len } };
	return begin_create(&c, &plan, err);
}
