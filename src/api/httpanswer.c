/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/accounts_store.h"
#include "api/errors.h"
#include "api/gzip.h"
#include "api/http_inner.h"
#include "api/jsonw.h"
#include "base/log.h"

enum { LIST_MAX = 64 << 20 }; /* bytes of an answer */

#define RETRY_AFTER "10" /* seconds; clients that know no better wait as long */

/* ---- what is noted ------------------------------------------------------------------------- */

void cx_request_about(struct cx_request *req, const char *object)
{
	(void)snprintf(req->about, sizeof req->about, "%s", object);
}

/* What changes something, and all that goes on in a sandbox; who only looks is not noted. */
static bool is_audited(const struct cx_request *req)
{
	const struct cx_route *route = req->route;

	return route != NULL && route->scope != CX_SCOPE_PUBLIC &&
	       (req->caller.user[0] != '\0' || req->caller.sandbox[0] != '\0') &&
	       (strcmp(route->method, "GET") != 0 || route->scope == CX_SCOPE_SANDBOX) &&
	       strstr(route->path, ":batchGet") == NULL;
}

static char *text_or_null(char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* A request that has happened is not undone because its line cannot be written. */
static void audit(struct cx_request *req, unsigned status)
{
	struct cx_store *store = req->http->o.auth->accounts;
	struct cx_audit_row row = { .at_ms = cx_wall_ms(),
				    .user_id = text_or_null(req->caller.user),
				    .key_id = text_or_null(req->caller.key),
				    .object = text_or_null(req->about[0] != '\0' ? req->about
										 : req->param),
				    .outcome = status,
				    .request_id = req->id };
	char action[128];
	struct cx_err err;

	if (store == NULL || !is_audited(req))
		return;
	(void)snprintf(action, sizeof action, "%s %s", req->route->method, req->route->path);
	row.action = action;
	if (cx_store_audit_insert(store, &row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "audit log not written", "request_id", req->id,
			   NULL);
}

/* ---- answers ------------------------------------------------------------------------------- */

void cx_http_deliver(struct cx_request *req, unsigned status, struct MHD_Response *response)
{
	audit(req, status);
	if (response != NULL)
		(void)MHD_add_response_header(response, "X-Request-Id", req->id);
	req->answered = true;
	if (req->inflow != NULL) /* from here on its body is only dropped */
		req->body_max = req->body_bytes;
	req->inflow = NULL;
	req->response = response;
	req->status = status;
	cx_http_resume(req);
}

static struct MHD_Response *whole_response(const struct cx_request *req, const char *type,
					   struct cx_buf *json)
{
	bool choice = json->len >= CX_GZIP_MIN;
	bool packed = choice && cx_gzip_is_accepted(cx_request_header(req, "Accept-Encoding")) &&
		      cx_gzip_pack(json);
	struct MHD_Response *response = MHD_create_response_from_buffer(
		json->len, json->p,
		json->p != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

	if (response == NULL) {
		cx_buf_free(json);
		return NULL;
	}
	*json = (struct cx_buf){ .max = json->max };
	(void)MHD_add_response_header(response, "Content-Type", type);
	if (choice)
		(void)MHD_add_response_header(response, "Vary", "Accept-Encoding");
	if (packed)
		(void)MHD_add_response_header(response, "Content-Encoding", "gzip");
	return response;
}

/* When memory for the answer is missing, its connection is closed: a NULL response does that. */
void cx_request_answer(struct cx_request *req, unsigned status, struct cx_buf *json)
{
	cx_http_deliver(req, status, whole_response(req, "application/json", json));
}

void cx_request_answer_as(struct cx_request *req, const char *type, struct cx_buf *bytes)
{
	cx_http_deliver(req, 200, whole_response(req, type, bytes));
}

void cx_request_say(struct cx_request *req, const char *name, const char *value)
{
	if (req->response != NULL)
		(void)MHD_add_response_header(req->response, name, value);
}

void cx_request_answer_json(struct cx_request *req, struct cx_jsonw *w)
{
	struct cx_err err;

	if (cx_jsonw_finish(w, &err) == 0) {
		cx_request_answer(req, 200, w->out);
		return;
	}
	cx_buf_free(w->out);
	cx_request_fail(req, &err);
}

void cx_request_answer_list(struct cx_request *req, const char *name,
			    int (*write)(struct cx_request *req, struct cx_jsonw *w,
					 struct cx_err *err))
{
	struct cx_buf json = { .max = LIST_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, name);
	if (write(req, &w, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

/* ---- refusals ------------------------------------------------------------------------------ */

/* What was the host's is seen in the log; what was the client's only by who looks for it. */
static void note_failure(const struct cx_request *req, unsigned status, const char *detail)
{
	char number[16];

	(void)snprintf(number, sizeof number, "%u", status);
	cx_log(status >= 500 ? CX_LOG_WARNING : CX_LOG_DEBUG, "request refused", "request_id",
	       req->id, "route", req->route != NULL ? req->route->path : "none", "status", number,
	       "detail", detail, NULL);
}

void cx_request_fail_as(struct cx_request *req, unsigned status, const struct cx_err *err)
{
	struct cx_buf json = { .max = 8192 };
	struct cx_err failed;

	if (err->kind != CX_INTERNAL || err->refused) /* errors.c logs those in full */
		note_failure(req, status, err->msg);
	if (cx_error_body(err, req->id, &json, &failed) < 0)
		cx_log_err(CX_LOG_ERROR, &failed, "no answer", "request_id", req->id, NULL);
	cx_request_answer(req, status, &json);
	if (status == 429 && req->response != NULL)
		(void)MHD_add_response_header(req->response, "Retry-After", RETRY_AFTER);
}

void cx_request_fail(struct cx_request *req, const struct cx_err *err)
{
	cx_request_fail_as(req, cx_error_status(err->kind), err);
}

int cx_http_write_refusal(const char *id, const char *code, const char *detail, struct cx_buf *ret,
			  struct cx_err *err)
{
	struct cx_jsonw w = { .out = ret };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "detail", detail);
	cx_jsonw_text(&w, "code", code);
	cx_jsonw_text(&w, "request_id", id);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

/* Refusals that HTTP has a number for and cx_kind has not. */
__attribute__((format(printf, 4, 5))) void cx_http_refuse(struct cx_request *req, unsigned status,
							  const char *code, const char *fmt, ...)
{
	struct cx_buf json = { .max = 8192 };
	struct cx_err failed;
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	note_failure(req, status, text);
	if (cx_http_write_refusal(req->id, code, text, &json, &failed) < 0)
		cx_log_err(CX_LOG_ERROR, &failed, "no answer", NULL);
	cx_request_answer(req, status, &json);
}
