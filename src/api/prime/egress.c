/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/network.h"
#include "api/prime/handlers.h"

/* What a sandbox may reach, asked for and changed while it lives. */

static void answer(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };
	bool blocked = row->network_access == 0;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_object(&w, "policy");
	cx_jsonw_raw(&w, "allowlist", blocked ? "[]" : "null");
	cx_jsonw_raw(&w, "denylist", blocked ? "null" : "[]");
	cx_jsonw_end(&w);
	cx_jsonw_int(&w, "generation", row->network_generation);
	/* Nothing is reachable yet, so opening the network is a wish. */
	cx_jsonw_int(&w, "applied_generation", row->network_generation - !blocked);
	cx_jsonw_bool(&w, "applied", blocked);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_prime_egress(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer(req, named.row);
}

static int parse(const struct cx_request *req, struct cx_sandbox_row *row, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_network_parse(doc, true, "allowlist", "denylist", row, err) < 0)
		return -err->errnum;
	if (row->network_allowlist == NULL && row->network_denylist == NULL)
		return cx_refuse(err, CX_INVALID, "give 'allowlist' or 'denylist'");
	return 0;
}

void cx_prime_set_egress(struct cx_request *req)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row wanted = { 0 };
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (parse(req, &wanted, &err) < 0 || cx_access_named(req, req->param, &named, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	if (named.box == NULL) {
		(void)cx_refuse(&err, CX_CONFLICT, "the sandbox has ended, it is %s",
				named.row->status);
		cx_request_fail(req, &err);
		return;
	}
	cx_box_set_network(named.box, &wanted);
	answer(req, named.row);
}
