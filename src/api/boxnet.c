/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <string.h>

#include "api/denials.h"
#include "api/network.h"
#include "api/network_store.h"
#include "base/log.h"

/*
 * The network of a sandbox: caissond makes it with its policy and tells its addresses, then the
 * resolver is told what names mean to it. Meanwhile its agent may be at its configuration. What is
 * between the two steps of a change is closed rather than open: until the resolver has its word,
 * addresses of names are refused.
 */
enum { PATIENCE_MS = 10000 }; /* for the resolver, which caissond may just be starting anew */

/* ---- members of a network ------------------------------------------------------------------- */

static bool is_member(const struct cx_box *box, const struct cx_sandbox_row *row)
{
	return row->network_link != 0 && box->row.network_link == row->network_link &&
	       box->phase != CX_BOX_ENDING;
}

static void host_name(const struct cx_sandbox_row *row, char ret[64])
{
	cx_spec_hostname(row->name, ret);
	for (char *c = ret; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
}

int cx_boxnet_join(struct cx_gateway *gw, struct cx_sandbox_row *row, const struct cx_box *self,
		   struct cx_err *err)
{
	char own[64], other[64];
	unsigned members = 0;
	uint32_t link = 0;

	row->network_link = 0;
	if (row->network_name == NULL)
		return 0;
	if (cx_store_network_number(gw->store, row->user_id, row->network_name, &link, err) < 0)
		return -err->errnum;
	row->network_link = link;
	host_name(row, own);
	for (struct cx_box *box = gw->boxes; box != NULL; box = box->next) {
		if (box == self || !is_member(box, row))
			continue;
		members++;
		host_name(&box->row, other);
		if (strcmp(own, other) == 0)
			return cx_refuse(err, CX_CONFLICT,
					 "network '%s' has a sandbox with the host name '%s' "
					 "already; choose another name",
					 row->network_name, own);
	}
	if (members >= CX_NETWORK_MEMBERS_MAX)
		return cx_refuse(err, CX_LIMIT, "network '%s' has %u sandboxes, no more fit in",
				 row->network_name, members);
	return 0;
}

/* The others of a network hear who is in it now. */
static void tell_members(struct cx_box *self, int64_t link)
{
	struct cx_sandbox_row row = { .network_link = link };

	for (struct cx_box *box = self->gw->boxes; link != 0 && box != NULL; box = box->next)
		if (box != self && box->net.number != 0 && is_member(box, &row))
			cx_resolver_tell(box->gw->resolver, &box->net.names);
}

static struct cx_str view(const uint8_t *bytes, unsigned len)
{
	return (struct cx_str){ .p = (const char *)bytes, .len = len };
}

static int put_peer(struct cx_resolver *resolver, uint32_t slot, const struct cx_box *peer,
		    struct cx_err *err)
{
	struct cx_msg_peer m = { .slot = slot,
				 .address4 = view(peer->net.address4, peer->net.naddress4),
				 .address6 = view(peer->net.address6, peer->net.naddress6) };
	char name[64];

	host_name(&peer->row, name);
	m.name = cx_str_of(name);
	if (cx_resolver_put_peer(resolver, &m, err) < 0)
		return -err->errnum;
	if (strcmp(name, peer->row.id) == 0)
		return 0;
	m.name = cx_str_of(peer->row.id);
	return cx_resolver_put_peer(resolver, &m, err);
}

static int put_peers(struct cx_resolver *resolver, const struct cx_box *self, struct cx_err *err)
{
	for (struct cx_box *box = self->gw->boxes; box != NULL; box = box->next)
		if (box != self && box->net.linked && is_member(box, &self->row) &&
		    put_peer(resolver, self->net.names.slot, box, err) < 0)
			return -err->errnum;
	return 0;
}

/* ---- telling the resolver ------------------------------------------------------------------- */

static int put_rules(struct cx_resolver *resolver, uint32_t slot, const struct cx_policy *policy,
		     struct cx_err *err)
{
	struct cx_nethost host;
	size_t at = 0;

	while (cx_policy_next_host(policy, &at, &host)) {
		struct cx_msg_name_rule m = { .slot = slot,
					      .name = cx_str_of(host.name),
					      .any_port = host.any_port,
					      .ports = view(host.ports, host.nports) };

		if (cx_resolver_put_rule(resolver, &m, err) < 0)
			return -err->errnum;
	}
	return 0;
}

/* A policy that cannot be read is told as one that allows no name. */
static int write_names(struct cx_resolver_slot *slot, struct cx_resolver *resolver,
		       struct cx_err *err)
{
	const struct cx_box *box = cx_container_of(slot, struct cx_box, net.names);
	CX_AUTO(cx_policy_clear) struct cx_policy policy = { 0 };
	struct cx_msg_names_begin begin = { .slot = slot->slot, .number = box->net.number };

	if (cx_policy_load(&box->row, &policy, err) < 0) {
		cx_log_err(CX_LOG_ERROR, err, "policy unreadable", "id", box->row.id, NULL);
		policy.mode = CX_EGRESS_NONE;
	}
	begin.mode = policy.mode;
	if (cx_resolver_put_begin(resolver, &begin, err) < 0 ||
	    put_rules(resolver, slot->slot, &policy, err) < 0)
		return -err->errnum;
	return put_peers(resolver, box, err);
}

static void let_go(struct cx_box *box)
{
	bool held = box->net.held;

	box->net.held = false;
	if (held)
		cx_resolver_release(box->gw->resolver);
}

static void fail_start(struct cx_box *box, const struct cx_err *why)
{
	box->why = *why;
	(void)cx_wrap(&box->why, "the network of the sandbox");
	cx_box_end(box, NULL);
}

static void on_told(struct cx_resolver_slot *slot)
{
	struct cx_box *box = cx_container_of(slot, struct cx_box, net.names);
	struct cx_err err;

	cx_timer_clear(&box->net.patience);
	box->net.behind = 0;
	cx_box_tell(&box->net.waiters, &box->row, NULL);
	if (!box->net.starting)
		return;
	box->net.starting = false;
	tell_members(box, box->row.network_link);
	if (cx_box_go_public(box, &err) < 0)
		fail_start(box, &err);
}

static void lost_patience(struct cx_timer *timer)
{
	struct cx_box *box = cx_container_of(timer, struct cx_box, net.patience);
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the resolver does not answer");
	if (box->net.starting) {
		fail_start(box, &err);
		return;
	}
	cx_log_err(CX_LOG_WARNING, &err, "names of a policy not in force", "id", box->row.id, NULL);
	cx_box_tell(&box->net.waiters, &box->row, NULL);
}

static void tell_names(struct cx_box *box)
{
	box->net.names.write = write_names;
	box->net.names.told = on_told;
	box->net.patience.fire = lost_patience;
	cx_timer_set(box->gw->loop, &box->net.patience, PATIENCE_MS);
	cx_resolver_tell(box->gw->resolver, &box->net.names);
	let_go(box);
}

/* ---- telling caissond ----------------------------------------------------------------------- */

static void drop_wanted(struct cx_box *box)
{
	if (box->net.wanted != NULL)
		cx_sandbox_row_clear(box->net.wanted);
	cx_freep(&box->net.wanted);
}

static void not_set(struct cx_box *box, const struct cx_err *why)
{
	if (box->net.starting) {
		fail_start(box, why);
		return;
	}
	cx_log_err(CX_LOG_ERROR, why, "policy not in force", "id", box->row.id, NULL);
	drop_wanted(box);
	cx_box_tell(&box->net.waiters, NULL, why);
	let_go(box);
}

static void take_over(struct cx_sandbox_row *row, struct cx_sandbox_row *wanted)
{
	free(row->network_allowlist);
	free(row->network_denylist);
	free(row->network_name);
	row->network_allowlist = cx_take_ptr(&wanted->network_allowlist);
	row->network_denylist = cx_take_ptr(&wanted->network_denylist);
	row->network_name = cx_take_ptr(&wanted->network_name);
	row->network_access = wanted->network_access;
	row->network_link = wanted->network_link;
	row->network_generation++;
}

static void on_policy(struct cx_engine_call *call, struct cx_engine_answer *answer,
		      const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, net.call);
	int64_t link = box->row.network_link;

	if (err != NULL) {
		not_set(box, err);
		return;
	}
	box->net.number = answer->egress.number;
	box->row.network_number = answer->egress.number;
	if (box->net.wanted != NULL) {
		take_over(&box->row, box->net.wanted);
		drop_wanted(box);
		box->net.behind++;
	}
	cx_box_save(box);
	tell_names(box);
	if (link == box->row.network_link)
		return;
	tell_members(box, link);
	tell_members(box, box->row.network_link);
}

/* m.rules is a view of rules. */
static int make_policy(const struct cx_sandbox_row *row, struct cx_msg_egress *m,
		       struct cx_buf *rules, struct cx_err *err)
{
	CX_AUTO(cx_policy_clear) struct cx_policy policy = { 0 };
	struct cx_nethost host;
	size_t at = 0;

	if (cx_policy_load(row, &policy, err) < 0 || cx_policy_rules(&policy, rules, err) < 0)
		return -err->errnum;
	*m = (struct cx_msg_egress){ .mode = policy.mode,
				     .names = cx_policy_next_host(&policy, &at, &host),
				     .link = (uint32_t)row->network_link,
				     .rules = cx_str_of_buf(rules) };
	return 0;
}

static int ask_policy(struct cx_box *box, struct cx_err *err)
{
	const struct cx_sandbox_row *row = box->net.wanted != NULL ? box->net.wanted : &box->row;
	CX_AUTO(cx_buf_free) struct cx_buf rules = { 0 };
	struct cx_msg_egress m;

	if (make_policy(row, &m, &rules, err) < 0)
		return -err->errnum;
	m.id = cx_str_of(box->row.engine_id);
	box->net.call.done = on_policy;
	return cx_engine_egress(box->gw->engine, &m, &box->net.call, err);
}

static void send_policy(struct cx_box *box)
{
	struct cx_err err;

	if (ask_policy(box, &err) < 0)
		not_set(box, &err);
}

/* ---- its link ------------------------------------------------------------------------------- */

static bool take_address(struct cx_str from, uint8_t *to, unsigned size, unsigned *ret_len)
{
	if (from.len != 0 && from.len != size)
		return false;
	if (from.len > 0)
		memcpy(to, from.p, size);
	*ret_len = from.len;
	return true;
}

static int take_link(struct cx_box *box, const struct cx_msg_network_is *m, struct cx_err *err)
{
	struct cx_box_net *net = &box->net;

	if (!take_address(m->address4, net->address4, 4, &net->naddress4) ||
	    !take_address(m->address6, net->address6, 16, &net->naddress6))
		return cx_refuse(err, CX_INTERNAL, "caissond gave the sandbox no address");
	net->linked = true;
	net->names.slot = m->slot;
	net->number = m->number;
	return 0;
}

static void on_network(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, net.call);
	struct cx_err bad;

	if (err == NULL && take_link(box, &answer->network, &bad) < 0)
		err = &bad;
	if (err != NULL) {
		not_set(box, err);
		return;
	}
	tell_members(box, box->row.network_link);
	/* To set it again would cut flows to addresses of names. */
	if (box->net.number != 0 && box->net.number == box->row.network_number)
		tell_names(box);
	else
		send_policy(box);
}

static int ask_network(struct cx_box *box, struct cx_err *err)
{
	box->net.call.done = on_network;
	return cx_engine_network(box->gw->engine, box->row.engine_id, &box->net.call, err);
}

int cx_boxnet_create(struct cx_box *box, const struct cx_msg_create *plan, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf rules = { 0 };
	struct cx_msg_create_linked m = { .cpu_milli = plan->cpu_milli,
					  .memory_bytes = plan->memory_bytes,
					  .pids = plan->pids,
					  .hostname = plan->hostname,
					  .layers = plan->layers,
					  .disk_bytes = plan->disk_bytes,
					  .in_memory = plan->in_memory };
	struct cx_msg_egress policy;

	if (!box->gw->host.network)
		return cx_engine_create(box->gw->engine, plan, &box->engine_call, err);
	if (make_policy(&box->row, &policy, &rules, err) < 0)
		return -err->errnum;
	m.mode = policy.mode;
	m.names = policy.names;
	m.link = policy.link;
	m.rules = policy.rules;
	box->net.asked = box->row.network_generation;
	return cx_engine_create_linked(box->gw->engine, &m, &box->engine_call, err);
}

int cx_boxnet_begin(struct cx_box *box, const struct cx_engine_answer *answer, struct cx_err *err)
{
	if (!box->gw->host.network)
		return cx_box_configure(box, err);
	if (take_link(box, &answer->network, err) < 0)
		return -err->errnum;
	box->row.network_number = box->net.number;
	box->net.starting = true;
	if (box->row.network_generation == box->net.asked)
		tell_names(box);
	else if (ask_policy(box, err) < 0) /* it was changed while it was made */
		return -err->errnum;
	return box->start.len > 0 ? 0 : cx_box_configure(box, err);
}

void cx_boxnet_adopt(struct cx_box *box)
{
	struct cx_err err;

	if (!box->gw->host.network)
		return;
	box->net.held = true;
	cx_resolver_hold(box->gw->resolver);
	if (ask_network(box, &err) < 0)
		not_set(box, &err);
}

void cx_boxnet_end(struct cx_box *box)
{
	bool linked = box->net.linked;
	struct cx_err why;

	box->net.linked = box->net.starting = false;
	box->net.number = 0;
	cx_engine_forget(&box->net.call);
	cx_timer_clear(&box->net.patience);
	cx_resolver_forget(&box->net.names);
	drop_wanted(box);
	let_go(box);
	if (linked)
		tell_members(box, box->row.network_link);
	(void)cx_refuse(&why, CX_CONFLICT, "the sandbox has ended");
	cx_box_tell(&box->net.waiters, NULL, &why);
}

/* ---- changes -------------------------------------------------------------------------------- */

bool cx_box_has_network(const struct cx_box *box)
{
	return box->gw->host.network && (box->phase != CX_BOX_RUNNING || box->net.linked);
}

int64_t cx_box_applied(const struct cx_box *box)
{
	bool wish = !cx_box_has_network(box) && box->row.network_access != 0;

	return box->row.network_generation - (wish ? 1 : box->net.behind);
}

static int check_change(const struct cx_box *box, struct cx_err *err)
{
	if (box->phase == CX_BOX_ENDING)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				 box->row.status);
	if (box->net.call.link != NULL || box->net.starting || box->net.waiters != NULL)
		return cx_refuse(err, CX_CONFLICT,
				 "what the sandbox may reach is just being changed; try again");
	return 0;
}

/* What has no link yet, or never gets one: the record is all there is. */
static void only_record(struct cx_box *box, struct cx_sandbox_row *wanted,
			struct cx_box_waiter *waiter)
{
	take_over(&box->row, wanted);
	cx_box_save(box);
	waiter->done(waiter, &box->row, NULL);
}

int cx_box_set_network(struct cx_box *box, struct cx_sandbox_row *wanted,
		       struct cx_box_waiter *waiter, struct cx_err *err)
{
	if (check_change(box, err) < 0)
		return -err->errnum;
	if (wanted->network_name != NULL &&
	    (cx_box_set(&wanted->user_id, box->row.user_id, err) < 0 ||
	     cx_box_set(&wanted->name, box->row.name, err) < 0))
		return -err->errnum;
	if (cx_boxnet_join(box->gw, wanted, box, err) < 0)
		return -err->errnum;
	if (!box->net.linked) {
		only_record(box, wanted, waiter);
		return 0;
	}
	box->net.wanted = calloc(1, sizeof *box->net.wanted);
	if (box->net.wanted == NULL)
		return cx_fail(err, ENOMEM, "a policy");
	*box->net.wanted = *wanted;
	*wanted = (struct cx_sandbox_row){ 0 };
	if (ask_policy(box, err) < 0) {
		drop_wanted(box);
		return -err->errnum;
	}
	waiter->next = box->net.waiters;
	box->net.waiters = waiter;
	return 0;
}

void cx_boxes_denied(struct cx_resolver_slot *slot, const struct cx_msg_denied *denied, void *arg)
{
	const struct cx_box *box = cx_container_of(slot, struct cx_box, net.names);
	bool current = denied->number == box->net.number;

	(void)arg;
	cx_denials_note(box->gw, box->row.row, current ? box->row.network_generation : 0, denied);
}
