/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/params.h"

#include <stdlib.h>
#include <string.h>

#include "api/route.h"

/* ---- the tables ----------------------------------------------------------------------------- */

enum type { TEXT, WHOLE, REAL, TRUTH, IGNORED };

#define P(p) offsetof(struct cx_nexus_params, p)

static const struct param {
	const char *name;
	enum type type;
	size_t at;
	double min, max; /* of a number, or of the bytes of a text */
} params[] = {
	{ "name", TEXT, P(name), 1, 128 },
	{ "ttl_minutes", REAL, P(ttl_minutes), 0.01, 5256000 },
	{ "provider", TEXT, P(provider), 0, CX_NEXUS_WORD_MAX },
	{ "template_id", TEXT, P(template_id), 1, 512 },
	{ "verify_status", TRUTH, P(verify_status), 0, 0 },
	{ "sandbox_id", TEXT, P(sandbox_id), 1, CX_NEXUS_WORD_MAX },
	{ "language", TEXT, P(language), 0, CX_NEXUS_WORD_MAX },
	{ "code", TEXT, P(code), 0, CX_LONG_BODY_MAX },
	{ "timeout", WHOLE, P(timeout), 1, 4000000 },
	{ "user_id", TEXT, P(user_id), 0, CX_NEXUS_WORD_MAX },
	{ "agent_id", TEXT, P(agent_id), 0, CX_NEXUS_WORD_MAX },
	{ "tenant_id", TEXT, P(tenant_id), 0, CX_NEXUS_WORD_MAX },
	{ "status", TEXT, P(status), 0, CX_NEXUS_WORD_MAX },
	{ "mount_path", IGNORED, 0, 0, 0 },
	{ "nexus_url", IGNORED, 0, 0, 0 },
	{ "nexus_api_key", IGNORED, 0, 0, 0 },
	{ "sandbox_api_key", IGNORED, 0, 0, 0 },
	{ "context", IGNORED, 0, 0, 0 }, /* an object, read apart */
};

enum { PARAMS_OF = 8 };

static const struct row {
	const char *name;
	const char *must[3], *may[PARAMS_OF];
	struct cx_nexus_params defaults;
} methods[CX_NEXUS_METHODS] = {
	[CX_NEXUS_CREATE] = { "sandbox_create",
			      { "name" },
			      { "ttl_minutes", "provider", "template_id", "context" },
			      { .ttl_minutes = 10 } },
	[CX_NEXUS_GET_OR_CREATE] = { "sandbox_get_or_create",
				     { "name" },
				     { "ttl_minutes", "provider", "template_id", "verify_status",
				       "context" },
				     { .ttl_minutes = 10, .verify_status = true } },
	[CX_NEXUS_RUN] = { "sandbox_run",
			   { "sandbox_id", "language", "code" },
			   { "timeout", "context" },
			   { .timeout = 300 } },
	[CX_NEXUS_PAUSE] = { "sandbox_pause", { "sandbox_id" }, { "context" }, { 0 } },
	[CX_NEXUS_RESUME] = { "sandbox_resume", { "sandbox_id" }, { "context" }, { 0 } },
	[CX_NEXUS_STOP] = { "sandbox_stop", { "sandbox_id" }, { "context" }, { 0 } },
	[CX_NEXUS_STATUS] = { "sandbox_status", { "sandbox_id" }, { "context" }, { 0 } },
	[CX_NEXUS_LIST] = { "sandbox_list",
			    { NULL },
			    { "context", "verify_status", "user_id", "tenant_id", "agent_id",
			      "status" },
			    { 0 } },
	[CX_NEXUS_CONNECT] = { "sandbox_connect",
			       { "sandbox_id" },
			       { "provider", "sandbox_api_key", "mount_path", "nexus_url",
				 "nexus_api_key", "context" },
			       { 0 } },
	[CX_NEXUS_DISCONNECT] = { "sandbox_disconnect",
				  { "sandbox_id" },
				  { "provider", "sandbox_api_key", "context" },
				  { 0 } },
};

const char *cx_nexus_method_name(enum cx_nexus_method method)
{
	return methods[method].name;
}

/* ---- codes ---------------------------------------------------------------------------------- */

/*
 * The client has an exception for some codes. That of a conflict, and that of what is not found,
 * speak of files and drop the text, so those kinds have the code that Nexus' own server gives them.
 */
static const struct {
	enum cx_nexus_code code;
	const char *why;
} codes[CX_KIND_MAX] = {
	[CX_INTERNAL] = { CX_NEXUS_INTERNAL_ERROR, "a fault of ours or of the host" },
	[CX_INVALID] = { CX_NEXUS_INVALID_PARAMS, "ValueError there: also a name that is taken" },
	[CX_DENIED] = { CX_NEXUS_PERMISSION_ERROR, "becomes NexusPermissionError" },
	[CX_NOT_FOUND] = { CX_NEXUS_INTERNAL_ERROR, "SandboxNotFoundError there" },
	[CX_CONFLICT] = { CX_NEXUS_INTERNAL_ERROR, "UnsupportedOperationError and its like" },
	[CX_LIMIT] = { CX_NEXUS_INTERNAL_ERROR, "SandboxCreationError there" },
	[CX_TIMEOUT] = { CX_NEXUS_INTERNAL_ERROR, "ExecutionTimeoutError there" },
	[CX_UNAVAILABLE] = { CX_NEXUS_INTERNAL_ERROR, "not now" },
	[CX_BUSY] = { CX_NEXUS_INTERNAL_ERROR, "there is no code for budgets" },
	[CX_SPENT] = { CX_NEXUS_INTERNAL_ERROR, "the same" },
};

int cx_nexus_code(unsigned kind)
{
	return codes[kind].code;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static int take(const struct json_t *doc, const struct param *param, struct cx_nexus_params *p,
		struct cx_err *err)
{
	void *to = (char *)p + param->at;
	int r;

	switch (param->type) {
	case WHOLE:
		return cx_json_int(doc, param->name, (int64_t)param->min, (int64_t)param->max, to,
				   err);
	case REAL:
		return cx_json_real(doc, param->name, param->min, param->max, to, err);
	case TRUTH:
		return cx_json_bool(doc, param->name, to, err);
	case IGNORED:
		return cx_json_member(doc, param->name) != NULL;
	case TEXT:
		break;
	}
	r = cx_json_text(doc, param->name, (size_t)param->max, to, err);
	if (r > 0 && strlen(*(const char **)to) < (size_t)param->min)
		return cx_refuse(err, CX_INVALID, "'%s' is empty", param->name);
	return r;
}

static const struct param *find_param(const char *name)
{
	const struct param *param = params;

	while (strcmp(param->name, name) != 0)
		param++; /* the rows of methods name no others */
	return param;
}

static int take_context(const struct json_t *doc, struct cx_nexus_params *p, struct cx_err *err)
{
	const struct json_t *context = cx_json_member(doc, "context");

	if (context == NULL)
		return 0;
	if (cx_json_type(doc, "context") != CX_JSON_OBJECT)
		return cx_refuse(err, CX_INVALID, "'context' must be an object");
	/* The document says "user", the server that it describes reads "user_id". */
	if (cx_json_text(context, "user_id", CX_NEXUS_WORD_MAX, &p->context.user, err) < 0 ||
	    cx_json_text(context, "user", CX_NEXUS_WORD_MAX, &p->context.user, err) < 0 ||
	    cx_json_text(context, "agent_id", CX_NEXUS_WORD_MAX, &p->context.agent_id, err) < 0 ||
	    cx_json_text(context, "tenant_id", CX_NEXUS_WORD_MAX, &p->context.tenant_id, err) < 0)
		return cx_wrap(err, "'context'");
	return 0;
}

static void note_stranger(const char *key, void *arg)
{
	*(const char **)arg = key;
}

static int refuse_strangers(const struct json_t *doc, const struct row *row, struct cx_err *err)
{
	const char *known[CX_LEN(row->must) + PARAMS_OF + 1] = { NULL };
	const char *stranger = NULL;
	size_t n = 0;

	for (size_t i = 0; i < CX_LEN(row->must) && row->must[i] != NULL; i++)
		known[n++] = row->must[i];
	for (size_t i = 0; i < PARAMS_OF && row->may[i] != NULL; i++)
		known[n++] = row->may[i];
	cx_json_unknown(doc, known, note_stranger, &stranger);
	if (stranger == NULL)
		return 0;
	return cx_refuse(err, CX_INVALID, "%s has no parameter '%.64s'", row->name, stranger);
}

static int take_params(const struct json_t *doc, const struct row *row, struct cx_nexus_params *p,
		       struct cx_err *err)
{
	*p = row->defaults;
	for (size_t i = 0; i < CX_LEN(row->must) && row->must[i] != NULL; i++) {
		int r = take(doc, find_param(row->must[i]), p, err);

		if (r == 0)
			return cx_refuse(err, CX_INVALID, "%s needs '%s'", row->name, row->must[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < PARAMS_OF && row->may[i] != NULL; i++)
		if (take(doc, find_param(row->may[i]), p, err) < 0)
			return -err->errnum;
	if (take_context(doc, p, err) < 0)
		return -err->errnum;
	return refuse_strangers(doc, row, err);
}

/* ---- the envelope --------------------------------------------------------------------------- */

static int parse_body(const char *body, size_t len, struct cx_nexus_request *ret, int *ret_code,
		      struct cx_err *err)
{
	if (len == 0)
		return cx_refuse(err, CX_INVALID, "the body is empty");
	*ret_code = CX_NEXUS_PARSE_ERROR;
	if (cx_json_parse(body, len, &ret->doc, err) < 0)
		return -err->errnum;
	*ret_code = CX_NEXUS_INVALID_REQUEST;
	return cx_json_is_object(ret->doc)
		       ? 0
		       : cx_refuse(
				 err, CX_INVALID,
				 "the body must be one request, an object; batches are not taken");
}

static int parse_id(struct cx_nexus_request *ret, struct cx_err *err)
{
	enum cx_json_type type = cx_json_type(ret->doc, "id");
	cx_autofree char *id = NULL;

	if (type == CX_JSON_ABSENT)
		return cx_refuse(err, CX_INVALID,
				 "'id' is missing: notifications, which get no answer, are not "
				 "taken");
	if (cx_json_dump(ret->doc, "id", &id, err) < 0)
		return -err->errnum;
	if (strlen(id) > CX_NEXUS_ID_MAX || (id[0] != '"' && strpbrk(id, "-0123456789") != id))
		return cx_refuse(err, CX_INVALID, "'id' must be a string or a number, of %d bytes",
				 CX_NEXUS_ID_MAX);
	ret->id = cx_take_ptr(&id);
	return 0;
}

static int parse_envelope(struct cx_nexus_request *ret, const char *path_method, struct cx_err *err)
{
	const char *version = NULL, *method = path_method;

	if (parse_id(ret, err) < 0 || cx_json_text(ret->doc, "jsonrpc", 8, &version, err) < 0 ||
	    cx_json_text(ret->doc, "method", CX_NEXUS_WORD_MAX, &method, err) < 0)
		return -err->errnum;
	if (version == NULL || strcmp(version, "2.0") != 0)
		return cx_refuse(err, CX_INVALID, "'jsonrpc' must be \"2.0\"");
	if (strcmp(method, path_method) != 0)
		return cx_refuse(err, CX_INVALID, "Method mismatch: URL=%.64s, body=%.64s",
				 path_method, method);
	return 0;
}

static int find_method(const char *name, struct cx_nexus_request *ret, struct cx_err *err)
{
	for (unsigned i = 0; i < CX_NEXUS_METHODS; i++) {
		if (strcmp(methods[i].name, name) == 0) {
			ret->method = (enum cx_nexus_method)i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "there is no method '%.64s' here", name);
}

static int parse_params(struct cx_nexus_request *ret, struct cx_err *err)
{
	const struct json_t *given = cx_json_member(ret->doc, "params");

	if (given != NULL && cx_json_type(ret->doc, "params") != CX_JSON_OBJECT)
		return cx_refuse(err, CX_INVALID, "'params' must be an object");
	return take_params(given, &methods[ret->method], &ret->p, err);
}

int cx_nexus_parse(const char *body, size_t len, const char *path_method,
		   struct cx_nexus_request *ret, int *ret_code, struct cx_err *err)
{
	*ret = (struct cx_nexus_request){ 0 };
	*ret_code = CX_NEXUS_INVALID_REQUEST;
	if (parse_body(body, len, ret, ret_code, err) < 0 ||
	    parse_envelope(ret, path_method, err) < 0)
		return -err->errnum;
	*ret_code = CX_NEXUS_NO_METHOD;
	if (find_method(path_method, ret, err) < 0)
		return -err->errnum;
	*ret_code = CX_NEXUS_INVALID_PARAMS;
	return parse_params(ret, err);
}

void cx_nexus_request_clear(struct cx_nexus_request *request)
{
	cx_json_free(&request->doc);
	cx_freep(&request->id);
}
