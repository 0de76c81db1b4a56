/* SPDX-License-Identifier: Apache-2.0 */
#include "api/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/network.h"
#include "api/network_store.h"

enum { ANSWER_MAX = 4 << 20, LOG_LIMIT = 100 };

static const char *const modes[CX_EGRESS_MAX] = { [CX_EGRESS_NONE] = "none",
						  [CX_EGRESS_ALL] = "all",
						  [CX_EGRESS_ALLOW] = "allow",
						  [CX_EGRESS_DENY] = "deny" };

int64_t cx_egress_applied(const struct cx_request *req, const struct cx_sandbox_row *row)
{
	const struct cx_box *box = cx_box_find(req->gateway, row->id);

	return box != NULL ? cx_box_applied(box) : row->network_generation;
}

/* ---- changing it ---------------------------------------------------------------------------- */

struct change { /* a request that waits for its policy */
	struct cx_box_waiter waiter;
	struct cx_request *req;
	void (*answer)(struct cx_request *req, const struct cx_sandbox_row *row);
};

static void on_changed(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		       const struct cx_err *err)
{
	struct change *change = cx_container_of(waiter, struct change, waiter);

	if (err == NULL)
		change->answer(change->req, row);
	else
		cx_request_fail(change->req, err);
	free(change);
}

static int keep(char **slot, const char *text, struct cx_err *err)
{
	if (text == NULL)
		return 0;
	*slot = strdup(text);
	return *slot != NULL ? 0 : cx_fail(err, ENOMEM, "a policy");
}

static int keep_lists(const struct cx_sandbox_row *now, struct cx_sandbox_row *wanted,
		      struct cx_err *err)
{
	wanted->network_access = now->network_access;
	if (keep(&wanted->network_allowlist, now->network_allowlist, err) < 0)
		return -err->errnum;
	return keep(&wanted->network_denylist, now->network_denylist, err);
}

static int parse(const struct cx_request *req, const struct cx_egress_form *form,
		 const struct cx_box *box, struct cx_sandbox_row *wanted, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const struct cx_sandbox_row *now = cx_box_row(box);
	struct cx_network_fields fields = { .allow = "allowlist",
					    .deny = "denylist",
					    .access = true,
					    .enforced = cx_box_has_network(box) };
	int named = 0;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_network_parse(doc, &fields, wanted, err) < 0)
		return -err->errnum;
	if (form->network)
		named = cx_network_parse_name(doc, "network", fields.enforced, wanted, err);
	if (named < 0 || (named == 0 && keep(&wanted->network_name, now->network_name, err) < 0))
		return -err->errnum;
	if (wanted->network_allowlist != NULL || wanted->network_denylist != NULL)
		return 0;
	return named == 1 ? keep_lists(now, wanted, err)
			  : cx_refuse(err, CX_INVALID, "give 'allowlist' or 'denylist'");
}

static int begin(struct cx_request *req, const struct cx_egress_form *form, struct cx_box *box,
		 struct cx_err *err)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row wanted = { 0 };
	cx_autofree struct change *change = calloc(1, sizeof *change);

	if (change == NULL)
		return cx_fail(err, ENOMEM, "request");
	*change = (struct change){ .waiter.done = on_changed, .req = req, .answer = form->answer };
	if (parse(req, form, box, &wanted, err) < 0 ||
	    cx_box_set_network(box, &wanted, &change->waiter, err) < 0)
		return -err->errnum;
	(void)cx_take_ptr(&change);
	return 0;
}

void cx_egress_show(struct cx_request *req, const struct cx_egress_form *form)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0)
		cx_request_fail(req, &err);
	else
		form->answer(req, named.row);
}

void cx_egress_change(struct cx_request *req, const struct cx_egress_form *form)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;
	int r = cx_access_named(req, req->param, &named, &err);

	if (r == 0 && named.box == NULL)
		r = cx_refuse(&err, CX_CONFLICT, "the sandbox has ended, it is %s",
			      named.row->status);
	if (r < 0 || begin(req, form, named.box, &err) < 0)
		cx_request_fail(req, &err);
}

/* ---- caisson's own form --------------------------------------------------------------------- */

static void answer(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	int64_t applied = cx_egress_applied(req, row);
	const char *allow = row->network_allowlist, *deny = row->network_denylist;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "mode", modes[cx_policy_mode(row)]);
	cx_jsonw_raw(&w, "allowlist", allow != NULL ? allow : "null");
	cx_jsonw_raw(&w, "denylist", deny != NULL ? deny : "null");
	cx_jsonw_text(&w, "network", row->network_name);
	cx_jsonw_int(&w, "generation", row->network_generation);
	cx_jsonw_int(&w, "appliedGeneration", applied);
	cx_jsonw_bool(&w, "applied", applied == row->network_generation);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static const struct cx_egress_form form = { .network = true, .answer = answer };

void cx_handle_egress(struct cx_request *req)
{
	cx_egress_show(req, &form);
}

void cx_handle_set_egress(struct cx_request *req)
{
	cx_egress_change(req, &form);
}

/* ---- what was refused ----------------------------------------------------------------------- */

/* The words of the resolver and the firewall; what the policy refused is told by its mode. */
static const struct {
	const char *word, *text;
} reasons[] = {
	{ "private", "a private or reserved address" },
	{ "peer", "another sandbox that it is not linked with" },
	{ "host", "an address of the host itself" },
	{ "source", "not sent from its own address" },
	{ "connections", "too many open connections" },
};

static const char *const by_mode[CX_EGRESS_MAX] = {
	[CX_EGRESS_NONE] = "its network access is off",
	[CX_EGRESS_ALL] = "not to be reached by any sandbox",
	[CX_EGRESS_ALLOW] = "its allow-list does not have it",
	[CX_EGRESS_DENY] = "its deny-list has it",
};

struct listing {
	struct cx_jsonw *w;
	int64_t generation;
	struct cx_policy policy;
};

static const char *why(const struct cx_denial *denial, const struct listing *listing)
{
	for (size_t i = 0; i < CX_LEN(reasons); i++)
		if (strcmp(reasons[i].word, denial->why) == 0)
			return reasons[i].text;
	if (denial->generation != listing->generation)
		return "an earlier policy did not allow it";
	return by_mode[listing->policy.mode];
}

static void write_rule(struct cx_jsonw *w, const struct cx_denial *denial,
		       const struct listing *listing)
{
	struct cx_str address = { .p = (const char *)denial->address, .len = denial->naddress };
	const struct cx_netentry *entry = NULL;
	char text[CX_NETWORK_ENTRY_MAX + 1];

	if (denial->generation == listing->generation && listing->policy.mode == CX_EGRESS_DENY)
		entry = denial->naddress > 0
				? cx_policy_find_address(&listing->policy, address, denial->port)
				: cx_policy_find_name(&listing->policy, denial->name);
	if (entry == NULL) {
		cx_jsonw_null(w, "rule");
		return;
	}
	cx_netentry_text(entry, text);
	cx_jsonw_text(w, "rule", text);
}

static void write_protocol(struct cx_jsonw *w, unsigned protocol)
{
	char number[16];

	(void)snprintf(number, sizeof number, "%u", protocol);
	cx_jsonw_text(w, "protocol",
		      protocol == IPPROTO_TCP	   ? "tcp"
		      : protocol == IPPROTO_UDP	   ? "udp"
		      : protocol == IPPROTO_ICMP   ? "icmp"
		      : protocol == IPPROTO_ICMPV6 ? "icmpv6"
						   : number);
}

static void write_packet(struct cx_jsonw *w, const struct cx_denial *denial)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (denial->naddress == 0) {
		cx_jsonw_null(w, "protocol");
		cx_jsonw_null(w, "address");
		cx_jsonw_null(w, "port");
		return;
	}
	(void)inet_ntop(denial->naddress == 4 ? AF_INET : AF_INET6, denial->address, text,
			sizeof text);
	write_protocol(w, denial->protocol);
	cx_jsonw_text(w, "address", text);
	if (denial->port != 0)
		cx_jsonw_int(w, "port", denial->port);
	else
		cx_jsonw_null(w, "port");
}

static int write_denial(const struct cx_denial *denial, void *arg, struct cx_err *err)
{
	struct listing *listing = arg;
	struct cx_jsonw *w = listing->w;

	(void)err;
	cx_jsonw_object(w, NULL);
	cx_jsonw_int(w, "seq", denial->row);
	cx_jsonw_time(w, "time", denial->at_ms);
	write_packet(w, denial);
	cx_jsonw_text(w, "name", denial->name[0] != '\0' ? denial->name : NULL);
	cx_jsonw_int(w, "count", denial->count);
	write_rule(w, denial, listing);
	cx_jsonw_text(w, "why", why(denial, listing));
	cx_jsonw_end(w);
	return 0;
}

static int write_log(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct listing listing = { .w = w };
	uint64_t after = 0, limit = LOG_LIMIT;
	int r;

	if (cx_request_query_u64(req, "after", 0, INT64_MAX, &after, err) < 0 ||
	    cx_request_query_u64(req, "limit", 1, CX_DENIALS_KEPT, &limit, err) < 0 ||
	    cx_access_named(req, req->param, &named, err) < 0 ||
	    cx_policy_load(named.row, &listing.policy, err) < 0)
		return -err->errnum;
	listing.generation = named.row->network_generation;
	r = cx_store_denial_each(req->gateway->store, named.row->row, (int64_t)after,
				 (int64_t)limit, write_denial, &listing, err);
	cx_policy_clear(&listing.policy);
	return r;
}

void cx_handle_egress_log(struct cx_request *req)
{
	cx_request_answer_list(req, "denials", write_log);
}
