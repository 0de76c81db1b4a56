/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/rpc.h"

#include <stdio.h>
#include <string.h>

#include "api/errors.h"
#include "api/nexus/handlers.h"
#include "api/nexus/sandbox.h"
#include "api/run.h"

enum { ANSWER_MAX = 2 * 6 * CX_RUN_KEPT_MAX + 65536 }; /* one byte can become \u001b */

static int (*const methods[CX_NEXUS_METHODS])(struct cx_nexus_call *call, struct cx_err *err) = {
	[CX_NEXUS_CREATE] = cx_nexus_create,   [CX_NEXUS_GET_OR_CREATE] = cx_nexus_get_or_create,
	[CX_NEXUS_RUN] = cx_nexus_run,	       [CX_NEXUS_PAUSE] = cx_nexus_pause,
	[CX_NEXUS_RESUME] = cx_nexus_resume,   [CX_NEXUS_STOP] = cx_nexus_stop,
	[CX_NEXUS_STATUS] = cx_nexus_status,   [CX_NEXUS_LIST] = cx_nexus_list,
	[CX_NEXUS_CONNECT] = cx_nexus_connect, [CX_NEXUS_DISCONNECT] = cx_nexus_connect,
};

/* ---- answers -------------------------------------------------------------------------------- */

static void free_call(struct cx_nexus_call *call)
{
	cx_engine_forget(&call->engine);
	cx_nexus_request_clear(&call->rpc);
	cx_buf_free(&call->out);
	cx_buf_free(&call->alive);
	free(call);
}

struct cx_jsonw *cx_nexus_answer(struct cx_nexus_call *call)
{
	struct cx_jsonw *w = &call->w;

	cx_buf_free(&call->out);
	*w = (struct cx_jsonw){ .out = &call->out };
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "jsonrpc", "2.0");
	cx_jsonw_raw(w, "id", call->rpc.id != NULL ? call->rpc.id : "null");
	return w;
}

void cx_nexus_end(struct cx_nexus_call *call)
{
	cx_jsonw_end(&call->w);
	cx_request_answer_json(call->req, &call->w);
	free_call(call);
}

/* Every answer is a 200, and every call the same route: the audit log is told more. */
static void note(struct cx_nexus_call *call, const char *outcome)
{
	const struct cx_nexus_params *p = &call->rpc.p;
	const char *object = p->sandbox_id != NULL ? p->sandbox_id : p->name;
	char text[CX_PARAM_MAX + CX_NEXUS_WORD_MAX + 64];

	(void)snprintf(text, sizeof text, "%s %.255s%s%s", call->req->param,
		       object != NULL ? object : "", outcome != NULL ? ": " : "",
		       outcome != NULL ? outcome : "");
	cx_request_about(call->req, text);
}

static void fail_as(struct cx_nexus_call *call, int code, const struct cx_err *err)
{
	struct cx_jsonw *w = cx_nexus_answer(call);
	const char *request_id = call->req->id;
	char text[CX_ERROR_TEXT_MAX];

	note(call, cx_kind_name(err->kind));
	cx_jsonw_object(w, "error");
	cx_jsonw_int(w, "code", code);
	cx_jsonw_text(w, "message", cx_error_text(err, request_id, text));
	cx_jsonw_object(w, "data");
	cx_jsonw_text(w, "code", cx_kind_name(err->kind));
	cx_jsonw_text(w, "request_id", request_id);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
	cx_nexus_end(call);
}

void cx_nexus_fail(struct cx_nexus_call *call, const struct cx_err *err)
{
	fail_as(call, cx_nexus_code(err->kind), err);
}

/* ---- what every method asks ----------------------------------------------------------------- */

static const char *first_of(const char *a, const char *b, const char *c)
{
	if (a != NULL && a[0] != '\0')
		return a;
	if (b != NULL && b[0] != '\0')
		return b;
	return c != NULL && c[0] != '\0' ? c : NULL;
}

const char *cx_nexus_agent_of(const struct cx_nexus_call *call)
{
	const struct cx_nexus_params *p = &call->rpc.p;

	return first_of(p->agent_id, p->context.agent_id,
			cx_request_header(call->req, "X-Agent-ID"));
}

const char *cx_nexus_tenant_of(const struct cx_nexus_call *call)
{
	const struct cx_nexus_params *p = &call->rpc.p;

	return first_of(p->tenant_id, p->context.tenant_id,
			cx_request_header(call->req, "X-Tenant-ID"));
}

int cx_nexus_named(struct cx_nexus_call *call, struct cx_named *ret, struct cx_err *err)
{
	const char *id = call->rpc.p.sandbox_id;

	if (cx_access_named(call->req, id, ret, err) == 0)
		return 0;
	if (err->kind == CX_NOT_FOUND)
		return cx_refuse(err, CX_NOT_FOUND, "Sandbox %.128s not found", id);
	return -err->errnum;
}

/* ---- the routes ----------------------------------------------------------------------------- */

static void begin(struct cx_nexus_call *call)
{
	struct cx_err err;

	note(call, NULL);
	if (methods[call->rpc.method](call, &err) < 0)
		cx_nexus_fail(call, &err);
}

void cx_nexus_handle(struct cx_request *req)
{
	struct cx_nexus_call *call = calloc(1, sizeof *call);
	struct cx_err err;
	int code = 0;

	if (call == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	call->req = req;
	call->out.max = ANSWER_MAX;
	if (cx_nexus_parse(req->body.p, req->body.len, req->param, &call->rpc, &code, &err) < 0)
		fail_as(call, code, &err);
	else
		begin(call);
}

void cx_nexus_whoami(struct cx_request *req)
{
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_bool(&w, "authenticated", true);
	cx_jsonw_text(&w, "subject_type", "user");
	cx_jsonw_text(&w, "subject_id", req->caller.user);
	cx_jsonw_text(&w, "tenant_id", CX_NEXUS_TENANT);
	cx_jsonw_bool(&w, "is_admin", req->caller.admin);
	cx_jsonw_text(&w, "user", req->caller.user);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}
