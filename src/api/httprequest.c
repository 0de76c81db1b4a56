/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http_inner.h"
#include "api/identity.h"
#include "base/fd.h"
#include "base/list.h"

enum { STALL_SECONDS = 600 }; /* in a body that is sent in pieces: somebody may think meanwhile */

/* ---- who asks, and for what ---------------------------------------------------------------- */

static int identify(const struct cx_listener *at, struct cx_request *req, struct cx_err *err)
{
	return cx_identify(at->http->o.auth, cx_request_header(req, "Authorization"),
			   req->from->has_uid ? &req->from->uid : NULL, &req->caller, err);
}

static void refuse_stranger(struct cx_request *req, const char *detail)
{
	/* The word that clients of Connect know, too; they take an unknown one for "try again". */
	cx_http_refuse(req, 401, "unauthenticated", "%s", detail);
	if (req->response != NULL)
		(void)MHD_add_response_header(req->response, "WWW-Authenticate", "Bearer");
}

/* A token opens the routes of its sandbox only; elsewhere it is as good as none. */
static bool token_fits(const struct cx_request *req)
{
	return req->route != NULL && req->route->scope == CX_SCOPE_SANDBOX &&
	       strcmp(req->caller.sandbox, req->param) == 0;
}

/* Who may not, learns nothing, not even which paths there are. */
static void judge_caller(const struct cx_listener *at, struct cx_request *req)
{
	struct cx_err err;
	int known = identify(at, req, &err);

	if (req->route != NULL && req->route->scope == CX_SCOPE_PUBLIC)
		return;
	if (known < 0 && err.kind == CX_DENIED)
		refuse_stranger(req, err.msg);
	else if (known < 0)
		cx_request_fail(req, &err);
	else if (req->caller.user[0] == '\0' && !token_fits(req))
		refuse_stranger(req, "this token is for the gateway of another sandbox");
	else if (req->route != NULL && req->route->scope == CX_SCOPE_ADMIN && !req->caller.admin)
		cx_http_refuse(req, 403, "denied", "only an administrator may do this");
}

/* Everything that can be said without the body. */
static void judge_headers(const struct cx_listener *at, struct cx_request *req, const char *method,
			  const char *path)
{
	char allow[64];
	unsigned status = 404;

	req->route = cx_route_find(method, path, req->param, &status, allow);
	judge_caller(at, req);
	if (req->answered)
		return;
	if (!cx_http_framing_is_clear(req)) {
		cx_http_refuse(req, 400, "invalid",
			       "it is not clear where the request ends: send one "
			       "Content-Length or 'Transfer-Encoding: chunked', and no header "
			       "whose name is none");
		req->unclear = true;
		return;
	}
	if (req->route == NULL && status == 405) {
		cx_http_refuse(req, 405, "method_not_allowed", "this path takes %s", allow);
		if (req->response != NULL)
			(void)MHD_add_response_header(req->response, "Allow", allow);
		return;
	}
	if (req->route == NULL) {
		cx_http_refuse(req, 404, "not_found", "there is no such path in this API");
		return;
	}
	cx_http_prepare_body(req);
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void set_timeout(struct MHD_Connection *connection, unsigned seconds)
{
	(void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

static enum MHD_Result queue_answer(struct cx_request *req)
{
	if (req->response == NULL)
		return MHD_NO;
	if (req->stream != NULL)
		set_timeout(req->connection, STALL_SECONDS);
	return req->http->queue(req->connection, req->status, req->response);
}

static void body_broke(struct cx_request *req)
{
	void (*broken)(struct cx_request *) = req->broken;

	req->broken = NULL;
	if (broken != NULL && !req->handled)
		broken(req);
}

/*
 * Resumed, MHD reads before it asks for the answer, or offers the bytes again that it holds, and at
 * the end of what is sent it would close the connection without either. Connections with a time-out
 * of their own it looks after first.
 */
void cx_http_suspend(struct cx_request *req)
{
	req->suspended = true;
	set_timeout(req->connection, CX_HTTP_IDLE_SECONDS + 1);
	MHD_suspend_connection(req->connection);
}

/* The answer is there, or it is waited for. */
static enum MHD_Result answer_or_wait(struct cx_request *req)
{
	if (!req->answered && req->from->ended)
		cx_http_client_ended(req);
	if (req->answered)
		return queue_answer(req);
	cx_http_suspend(req);
	return MHD_YES;
}

static enum MHD_Result end_inflow(struct cx_request *req)
{
	struct cx_inflow *in = req->inflow;

	req->inflow = NULL;
	in->end(in);
	return answer_or_wait(req);
}

static enum MHD_Result handle_complete(struct cx_request *req)
{
	cx_http_enter(req, CX_PEER_SERVED);
	if (req->inflow != NULL)
		return end_inflow(req);
	if (req->handled) /* resumed: the answer is there */
		return queue_answer(req);
	if (req->too_large || req->body_err.errnum != 0)
		body_broke(req);
	req->handled = true;
	if (req->too_large)
		cx_http_refuse(req, 413, "too_large", "the body is larger than %llu bytes",
			       (unsigned long long)req->body_max);
	else if (req->body_err.errnum != 0)
		cx_request_fail(req, &req->body_err);
	else if (req->whole != NULL)
		req->whole(req);
	else
		req->route->handle(req);
	return answer_or_wait(req);
}

/*
 * The answer to the headers alone. Most clients look for it when they have sent the body, so a body
 * of moderate size is read first. One that is too large, or held back until it is welcome, or whose
 * end nobody knows, costs the connection.
 */
static enum MHD_Result answer_early(struct cx_request *req)
{
	req->handled = true;
	req->body_max = 0;
	if (!req->unclear && cx_request_announced(req) <= cx_http_drop_max(req) &&
	    cx_request_header(req, "Expect") == NULL)
		return MHD_YES;
	req->linger = true;
	if (req->response != NULL)
		(void)MHD_add_response_header(req->response, "Connection", "close");
	return queue_answer(req);
}

/* ---- from first header to last byte -------------------------------------------------------- */

struct cx_connection *cx_http_connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static struct cx_request *begin_request(struct cx_listener *at, struct MHD_Connection *connection)
{
	struct cx_connection *from = cx_http_connection_of(connection);
	struct cx_request *req = from != NULL ? calloc(1, sizeof *req) : NULL;

	if (req == NULL)
		return NULL;
	req->gateway = at->http->o.gateway;
	req->http = at->http;
	req->from = from;
	from->req = req;
	from->asked = true;
	from->streams = false;
	cx_http_enter(req, CX_PEER_SENDING);
	req->connection = connection;
	req->body_fd = -EBADF;
	cx_request_id_choose(cx_request_header(req, "X-Request-Id"), req->id);
	req->began_us = cx_now_us();
	cx_list_add(&at->http->requests, req);
	return req;
}

enum MHD_Result cx_http_on_access(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **con_cls)
{
	struct cx_listener *at = cls;
	struct cx_request *req = *con_cls;

	if (req != NULL)
		return *len > 0 ? cx_http_take_bytes(req, data, len) : handle_complete(req);
	req = begin_request(at, connection);
	if (req == NULL)
		return MHD_NO;
	*con_cls = req;
	req->http_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
	judge_headers(at, req, method, url);
	if (req->answered)
		return answer_early(req);
	if (req->route->body == CX_BODY_COMES)
		req->route->handle(req);
	if (req->route->body != CX_BODY_STREAM)
		return MHD_YES;
	req->handled = true;
	req->route->handle(req);
	return req->answered ? answer_early(req) : MHD_YES;
}

static void free_request(struct cx_request *req)
{
	cx_list_remove(req);
	if (req->response != NULL)
		MHD_destroy_response(req->response);
	cx_buf_wipe(&req->body); /* there may be passwords in it */
	cx_close(&req->body_fd);
	free(req);
}

static enum MHD_Result find_close(void *cls, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	bool *found = cls;

	(void)kind;
	*found = *found || (strcasecmp(key, "Connection") == 0 && value != NULL &&
			    strcasestr(value, "close") != NULL);
	return MHD_YES;
}

/* MHD closes the connection behind its answer. */
static bool is_last(struct cx_request *req)
{
	bool last = req->http_1_0 || MHD_get_response_header(req->response, "Connection") != NULL;

	(void)MHD_get_connection_values(req->connection, MHD_HEADER_KIND, find_close, &last);
	return last;
}

static void leave_connection(struct cx_request *req, enum MHD_RequestTerminationCode why)
{
	struct cx_connection *c = req->from;
	bool whole = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;

	c->req = NULL;
	c->last = !whole || req->status == MHD_HTTP_SWITCHING_PROTOCOLS || is_last(req);
	if (!c->last)
		set_timeout(req->connection, CX_HTTP_IDLE_SECONDS);
	if (why == MHD_REQUEST_TERMINATED_CLIENT_ABORT)
		cx_http_refuse_rest(req);
	cx_http_enter(req, CX_PEER_WAITING);
	if (req->linger && whole)
		cx_linger_add(&req->http->lingers, c->fd);
}

void cx_http_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
			  enum MHD_RequestTerminationCode why)
{
	struct cx_request *req = *con_cls;

	(void)cls;
	(void)connection;
	if (req == NULL)
		return;
	*con_cls = NULL;
	leave_connection(req, why);
	if (req->http->o.over != NULL)
		req->http->o.over(req->http->o.over_arg, req->route, req->status,
				  cx_now_us() - req->began_us);
	body_broke(req);
	if (req->upgraded != NULL)
		req->upgraded(req->upgrade_arg, -1, NULL);
	if (req->inflow != NULL)
		req->inflow->lost(req->inflow);
	if (req->stream != NULL)
		req->stream->closed(req->stream);
	free_request(req);
}
