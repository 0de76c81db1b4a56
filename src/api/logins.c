/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/gateway.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "base/log.h"

enum { ANSWER_MAX = CX_AUTHFILE_MAX * 2 };

static void answer(struct cx_request *req, struct cx_jsonw *w)
{
	struct cx_err err;

	if (cx_jsonw_finish(w, &err) == 0) {
		cx_request_answer(req, 200, w->out);
		return;
	}
	cx_buf_free(w->out);
	cx_request_fail(req, &err);
}

/* ---- login ---------------------------------------------------------------------------------- */

static int parse_login(const struct json_t *doc, char ret_host[CX_REF_NAME_MAX + 1],
		       struct cx_login *ret, struct cx_err *err)
{
	const char *host = "", *username = "", *password = "";

	if (cx_json_text(doc, "registry", CX_REF_NAME_MAX, &host, err) < 0 ||
	    cx_json_text(doc, "username", CX_LOGIN_NAME_MAX, &username, err) < 0 ||
	    cx_json_text(doc, "password", CX_LOGIN_TOKEN_MAX, &password, err) < 0 ||
	    cx_login_set(ret, username, password, err) < 0)
		return -err->errnum;
	return cx_ref_host(host, ret_host, err) < 0 ? cx_wrap(err, "'registry'") : 0;
}

void cx_handle_login(struct cx_request *req)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };
	char host[CX_REF_NAME_MAX + 1];
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;
	int r = cx_json_parse_object(req->body.p, req->body.len, &doc, &err);

	if (req->body.p != NULL)
		explicit_bzero(req->body.p, req->body.size);
	if (r < 0 || parse_login(doc, host, &login, &err) < 0 ||
	    cx_registries_login(req->gateway->registries, host, &login, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_log(CX_LOG_INFO, "registry login kept", "registry", host, NULL);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "registry", host);
	cx_jsonw_bool(&w, "checked", false);
	cx_jsonw_end(&w);
	answer(req, &w);
}

/* ---- list, logout --------------------------------------------------------------------------- */

static int list_one(const char *host, const char *username, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	cx_jsonw_text(arg, "registry", host);
	cx_jsonw_text(arg, "username", username);
	cx_jsonw_end(arg);
	return 0;
}

void cx_handle_login_list(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_bool(&w, "enabled", cx_registries_enabled(req->gateway->registries));
	cx_jsonw_text(&w, "default", cx_registries_default(req->gateway->registries));
	cx_jsonw_array(&w, "registries");
	if (cx_registries_each(req->gateway->registries, list_one, &w, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	answer(req, &w);
}

void cx_handle_logout(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	char host[CX_REF_NAME_MAX + 1];
	struct cx_err err;

	if (cx_ref_host(req->param, host, &err) < 0 ||
	    cx_registries_logout(req->gateway->registries, host, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_log(CX_LOG_INFO, "registry login forgotten", "registry", host, NULL);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "registry", host);
	cx_jsonw_end(&w);
	answer(req, &w);
}
