/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/nexus/alive.h"
#include "api/nexus/rpc.h"
#include "api/nexus/sandbox.h"

struct walk {
	struct cx_nexus_call *call;
	struct cx_jsonw *w;
	bool verified;
	int64_t now_ms;
};

/* By default one's own; of others only for who may see everything. */
static int find_user(const struct cx_nexus_call *call, const char **ret, struct cx_err *err)
{
	const struct cx_nexus_params *p = &call->rpc.p;
	const struct cx_caller *caller = &call->req->caller;
	const char *asked = p->user_id != NULL ? p->user_id : p->context.user;

	*ret = asked != NULL && asked[0] != '\0' ? asked : caller->user;
	if (!caller->admin && strcmp(*ret, caller->user) != 0)
		return cx_refuse(err, CX_DENIED,
				 "only an administrator lists the sandboxes of another user");
	return 0;
}

static enum cx_nexus_verified verify(const struct walk *walk, const struct cx_sandbox_row *row)
{
	if (!walk->verified)
		return CX_NEXUS_UNASKED;
	if (strcmp(cx_nexus_status_word(row), "stopped") == 0)
		return CX_NEXUS_GONE;
	return row->started_ms == 0 || cx_nexus_is_alive(walk->call, row->engine_id)
		       ? CX_NEXUS_ALIVE
		       : CX_NEXUS_GONE;
}

static bool same(const char *wanted, const char *is)
{
	return wanted == NULL || wanted[0] == '\0' || (is != NULL && strcmp(wanted, is) == 0);
}

static bool fits(const struct walk *walk, const struct cx_sandbox_row *row,
		 const struct cx_nexus_traits *traits, enum cx_nexus_verified verified)
{
	const struct cx_nexus_params *p = &walk->call->rpc.p;
	const char *status = verified == CX_NEXUS_GONE ? "stopped" : cx_nexus_status_word(row);

	/* The header names the tenant of the key, which is everybody's: no filter. */
	return same(p->status, status) && same(cx_nexus_agent_of(walk->call), traits->agent_id) &&
	       same(p->tenant_id, traits->tenant_id) &&
	       same(p->context.tenant_id, traits->tenant_id);
}

static int write_row(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits traits;
	struct walk *walk = arg;
	struct cx_box *box = cx_box_find(walk->call->req->gateway, row->id);
	enum cx_nexus_verified verified;

	(void)err;
	if (box != NULL) /* knows its last use better */
		row = cx_box_row(box);
	verified = verify(walk, row);
	cx_nexus_traits_load(row, &traits);
	if (fits(walk, row, &traits, verified))
		cx_nexus_present(walk->w, NULL, row, &traits, verified, walk->now_ms);
	return 0;
}

static int list(struct cx_nexus_call *call, bool verified, struct cx_err *err)
{
	struct cx_sandbox_filter filter = { .viewer = cx_access_viewer(call->req) };
	struct walk walk = { .call = call, .verified = verified, .now_ms = cx_wall_ms() };

	if (find_user(call, &filter.user_id, err) < 0)
		return -err->errnum;
	walk.w = cx_nexus_answer(call);
	cx_jsonw_object(walk.w, "result");
	cx_jsonw_array(walk.w, "sandboxes");
	if (cx_store_sandbox_each(call->req->gateway->store, &filter, write_row, &walk, err) < 0)
		return -err->errnum;
	cx_jsonw_end(walk.w);
	cx_jsonw_end(walk.w);
	cx_nexus_end(call);
	return 0;
}

static void on_alive(struct cx_nexus_call *call)
{
	struct cx_err err;

	if (list(call, true, &err) < 0)
		cx_nexus_fail(call, &err);
}

int cx_nexus_list(struct cx_nexus_call *call, struct cx_err *err)
{
	if (call->rpc.p.verify_status)
		return cx_nexus_ask_alive(call, on_alive, err);
	return list(call, false, err);
}
