/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/nexus/alive.h"
#include "api/nexus/rpc.h"
#include "api/nexus/sandbox.h"
#include "api/templates.h"
#include "base/loop.h"

/* ---- what the client asks for --------------------------------------------------------------- */

static const struct {
	const char *name;
	bool takes_images; /* as template_id, besides the names of templates.conf */
	const char *why;
} providers[] = {
	{ "caisson", true, "who gives none gets this one" },
	{ "docker", true, "there template_id is the name of an image" },
	{ "e2b", false, "there it is an id that E2B has made up" },
};

static int find_provider(const char *name, size_t *ret, struct cx_err *err)
{
	*ret = 0;
	if (name == NULL)
		return 0;
	for (size_t i = 0; i < CX_LEN(providers); i++) {
		if (strcmp(providers[i].name, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID,
			 "Provider '%.64s' not available. Available: docker, e2b, caisson", name);
}

static int find_image(const struct cx_gateway *gw, const struct cx_nexus_params *p, size_t provider,
		      const char **ret, struct cx_err *err)
{
	*ret = cx_templates_image(gw->templates, p->template_id);
	if (*ret == NULL && providers[provider].takes_images)
		*ret = p->template_id;
	if (*ret != NULL)
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "Template '%.128s' not found: templates.conf of the server names no image "
			 "for it (provider docker takes the name of an image, too)",
			 p->template_id);
}

/* What caisson's own API is asked for in the same words, so that there is one set of checks. */
static int parse_spec(const struct cx_gateway *gw, const struct cx_nexus_params *p,
		      const char *image, struct cx_spec *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf body = { .max = 8192 };
	struct cx_jsonw w = { .out = &body };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "name", p->name);
	cx_jsonw_text(&w, "docker_image", image);
	cx_jsonw_int(&w, "timeout_minutes", -1);
	cx_jsonw_real(&w, "idle_timeout_minutes", p->ttl_minutes);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	return cx_spec_parse(body.p, body.len, &gw->host, ret, err);
}

static int make_spec(struct cx_nexus_call *call, struct cx_spec *ret, struct cx_err *err)
{
	const struct cx_nexus_params *p = &call->rpc.p;
	struct cx_nexus_traits traits = { .tenant_id = cx_nexus_tenant_of(call),
					  .template_id = p->template_id,
					  .agent_id = cx_nexus_agent_of(call) };
	const char *image = NULL;
	size_t provider = 0;

	if (find_provider(p->provider, &provider, err) < 0 ||
	    find_image(call->req->gateway, p, provider, &image, err) < 0 ||
	    parse_spec(call->req->gateway, p, image, ret, err) < 0 ||
	    cx_access_own(call->req, &ret->row, err) < 0)
		return -err->errnum;
	traits.provider = providers[provider].name;
	if (traits.tenant_id == NULL)
		traits.tenant_id = CX_NEXUS_TENANT;
	return cx_nexus_traits_dump(&traits, &ret->row.attributes, err);
}

/* ---- making it ------------------------------------------------------------------------------ */

static void on_running(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		       const struct cx_err *err)
{
	struct cx_nexus_call *call = cx_container_of(waiter, struct cx_nexus_call, waiter);
	bool verify = call->rpc.p.verify_status;
	struct cx_box *box;

	if (err != NULL) {
		cx_nexus_fail(call, err);
		return;
	}
	box = cx_box_find(call->req->gateway, row->id);
	if (row->started_ms == 0 && box != NULL) /* promised; its image comes first */
		cx_box_wait_running(box, waiter);
	else
		cx_nexus_answer_sandbox(call, row, verify ? CX_NEXUS_ALIVE : CX_NEXUS_UNASKED);
}

static struct cx_box *find_active(const struct cx_nexus_call *call)
{
	const struct cx_caller *caller = &call->req->caller;
	struct cx_box *box = NULL;

	do
		box = cx_box_find_owned(call->req->gateway, caller->user, call->rpc.p.name, box);
	while (box != NULL && strcmp(cx_nexus_status_word(cx_box_row(box)), "active") != 0);
	return box;
}

int cx_nexus_create(struct cx_nexus_call *call, struct cx_err *err)
{
	CX_AUTO(cx_spec_clear) struct cx_spec spec = { 0 };

	if (make_spec(call, &spec, err) < 0)
		return -err->errnum;
	if (find_active(call) != NULL)
		return cx_refuse(err, CX_INVALID,
				 "Active sandbox with name '%.128s' already exists for user %s. "
				 "Use sandbox_get_or_create() to reuse it or choose a different "
				 "name.",
				 call->rpc.p.name, call->req->caller.user);
	call->waiter.done = on_running;
	return cx_box_create(call->req->gateway, &spec, &call->waiter, err);
}

/* ---- or finding it -------------------------------------------------------------------------- */

static void take_or_make(struct cx_nexus_call *call, enum cx_nexus_verified verified)
{
	struct cx_box *box = find_active(call);
	struct cx_err err;

	if (box != NULL && cx_box_row(box)->started_ms == 0) {
		call->waiter.done = on_running;
		cx_box_wait_running(box, &call->waiter);
	} else if (box != NULL) {
		cx_nexus_answer_sandbox(call, cx_box_row(box), verified);
	} else if (cx_nexus_create(call, &err) < 0) {
		cx_nexus_fail(call, &err);
	}
}

static void on_alive(struct cx_nexus_call *call)
{
	struct cx_box *box = find_active(call);
	struct cx_err err;

	if (box != NULL && cx_box_row(box)->started_ms != 0 &&
	    !cx_nexus_is_alive(call, cx_box_row(box)->engine_id)) {
		(void)cx_refuse(&err, CX_UNAVAILABLE, "Sandbox %s has just ended; try again",
				cx_box_row(box)->id);
		cx_nexus_fail(call, &err);
		return;
	}
	take_or_make(call, CX_NEXUS_ALIVE);
}

int cx_nexus_get_or_create(struct cx_nexus_call *call, struct cx_err *err)
{
	struct cx_box *box = find_active(call);

	if (box != NULL && call->rpc.p.verify_status)
		return cx_nexus_ask_alive(call, on_alive, err);
	take_or_make(call, CX_NEXUS_UNASKED);
	return 0;
}
