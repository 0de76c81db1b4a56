/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "api/gateway.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/transfer.h"
#include "base/log.h"

enum { ANSWER_MAX = CX_AUTHFILE_MAX * 2 };

/* ---- login ---------------------------------------------------------------------------------- */

struct check { /* a request that waits for the registry's word */
	struct cx_request *req;
	struct cx_transfer *transfer;
	struct cx_transfer_call call;
	struct cx_login login;
	char host[CX_REF_NAME_MAX + 1];
};

static void check_free(struct check **slot)
{
	struct check *check = *slot;

	if (check == NULL)
		return;
	cx_transfer_close(check->transfer);
	cx_login_wipe(&check->login);
	free(check);
	*slot = NULL;
}

static void answer_registry(struct cx_request *req, const char *host)
{
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "registry", host);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static void on_checked(struct cx_transfer_call *call, const struct cx_transfer_answer *answer_,
		       const struct cx_err *err)
{
	CX_AUTO(check_free) struct check *check = cx_container_of(call, struct check, call);
	struct cx_request *req = check->req;
	struct cx_err failed;

	(void)answer_;
	if (err == NULL &&
	    cx_registries_login(req->gateway->registries, check->host, &check->login, &failed) < 0)
		err = &failed;
	if (err != NULL) {
		cx_request_fail(req, err);
		return;
	}
	cx_log(CX_LOG_INFO, "registry login kept", "registry", check->host, NULL);
	answer_registry(req, check->host);
}

static void on_gone(struct cx_request *req)
{
	struct check *check = req->owner;

	cx_transfer_cancel(&check->call);
}

/* Asks the registry itself: mirrors have logins of their own. */
static int ask(struct check *check, struct cx_err *err)
{
	CX_AUTO(cx_endpoints_free) struct cx_endpoints *at = calloc(1, sizeof *at);
	struct cx_msg_fetch_endpoint messages[CX_FETCH_ENDPOINTS_MAX];
	struct cx_gateway *gw = check->req->gateway;
	struct cx_ref ref = { 0 };

	if (at == NULL)
		return cx_fail(err, ENOMEM, "login");
	(void)strcpy(ref.host, check->host);
	if (cx_registries_find(gw->registries, &ref, &check->login, at, err) < 0)
		return -err->errnum;
	cx_endpoints_messages(at, messages);
	if (cx_transfer_open(gw, &messages[at->n - 1], 1, &check->transfer, err) < 0)
		return -err->errnum;
	check->call.done = on_checked;
	return cx_transfer_login(check->transfer, &check->call, err);
}

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
	CX_AUTO(check_free) struct check *check = calloc(1, sizeof *check);
	struct cx_err err;
	int r = cx_json_parse_object(req->body.p, req->body.len, &doc, &err);

	if (r == 0 && check == NULL)
		r = cx_fail(&err, ENOMEM, "login");
	if (r == 0)
		r = parse_login(doc, check->host, &check->login, &err);
	if (r == 0) {
		check->req = req;
		r = ask(check, &err);
	}
	if (r < 0) {
		cx_request_fail(req, &err);
		return;
	}
	req->owner = check;
	req->gone = on_gone;
	check = NULL; /* on_checked() frees it */
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
	cx_request_answer_json(req, &w);
}

void cx_handle_logout(struct cx_request *req)
{
	char host[CX_REF_NAME_MAX + 1];
	struct cx_err err;

	if (cx_ref_host(req->param, host, &err) < 0 ||
	    cx_registries_logout(req->gateway->registries, host, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_log(CX_LOG_INFO, "registry login forgotten", "registry", host, NULL);
	answer_registry(req, host);
}
