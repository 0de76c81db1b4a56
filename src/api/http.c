/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "api/accounts_store.h"
#include "api/errors.h"
#include "api/gzip.h"
#include "api/identity.h"
#include "api/jsonw.h"
#include "api/linger.h"
#include "api/peers.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

enum {
	IDLE_SECONDS = 60,
	STALL_SECONDS = 600, /* in a body that is sent in pieces: somebody may think meanwhile */
	PIECE = 64 * 1024,
	HEADER_MEMORY = 128 * 1024, /* of one connection: its headers, then a window on its body */
	LISTENERS_MAX = 18,
	LIST_MAX = 64 << 20, /* bytes of an answer */
	DROP_MAX = 64 << 20, /* bytes of a body that is read only so that its answer arrives */
	DROP_STREAM_MAX = 512 << 20, /* the same where clients send all of a file first */
	SWEEP_MS = 5000,	     /* between looks at slow connections */
	LEAVE_MS = 20,		     /* between looks at upgraded ones that are being closed */
};

#define RETRY_AFTER "10" /* seconds; clients that know no better wait as long */

struct listener {
	struct cx_http *http;
	struct MHD_Daemon *daemon;
	struct cx_source source; /* a duplicate of the daemon's epoll descriptor */
	bool local;		 /* a Unix socket, whose clients the kernel names */
	bool tls;
	struct cx_peers peers;
};

struct connection { /* of a client, from accept to close */
	struct listener *at;
	struct cx_peer peer;
	int fd; /* libmicrohttpd's */
	bool leaving;
};

struct cx_http {
	struct cx_http_options o;
	struct listener listeners[LISTENERS_MAX];
	unsigned n;
	struct cx_timer timer;
	bool resumed;	  /* a connection, and its daemon has not run since */
	unsigned leaving; /* upgraded connections that are being closed */
	struct cx_timer sweep;
	struct cx_request *requests;
	struct cx_lingers lingers;
};

static void enter(struct cx_request *req, enum cx_peer_phase phase)
{
	if (req->from != NULL && req->from->peer.phase != phase)
		cx_peers_move(&req->from->at->peers, &req->from->peer, phase, cx_now_ms());
}

/* ---- answers --------------------------------------------------------------------------------- */

static void free_request(struct cx_request *req)
{
	if (req->link != NULL) {
		*req->link = req->next;
		if (req->next != NULL)
			req->next->link = req->link;
	}
	if (req->response != NULL)
		MHD_destroy_response(req->response);
	cx_buf_wipe(&req->body); /* there may be passwords in it */
	cx_close(&req->body_fd);
	free(req);
}

/* The request outlives its watch by one batch of events, see cx_loop_drop(). */
static void watch_gone(struct cx_source *watch)
{
	free_request(cx_container_of(watch, struct cx_request, watch));
}

static void release_request(struct cx_request *req)
{
	if (req->watch.added) {
		req->watch.destroy = watch_gone;
		cx_loop_drop(req->http->o.loop, &req->watch);
		return;
	}
	free_request(req);
}

/* Runs libmicrohttpd once more: with a loop of our own it cannot wake itself up. */
static void run_soon(struct cx_http *http)
{
	http->resumed = true;
	cx_timer_set(http->o.loop, &http->timer, 0);
}

static void resume(struct cx_request *req)
{
	if (!req->suspended)
		return;
	req->suspended = false;
	MHD_resume_connection(req->connection);
	run_soon(req->http);
}

static const char *header(const struct cx_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

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

static void deliver(struct cx_request *req, unsigned status, struct MHD_Response *response)
{
	audit(req, status);
	if (response != NULL)
		(void)MHD_add_response_header(response, "X-Request-Id", req->id);
	req->answered = true;
	req->inflow = NULL;
	req->response = response;
	req->status = status;
	resume(req);
}

static struct MHD_Response *whole_response(const struct cx_request *req, const char *type,
					   struct cx_buf *json)
{
	bool choice = json->len >= CX_GZIP_MIN;
	bool packed =
		choice && cx_gzip_is_accepted(header(req, "Accept-Encoding")) && cx_gzip_pack(json);
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
	deliver(req, status, whole_response(req, "application/json", json));
}

void cx_request_answer_as(struct cx_request *req, const char *type, struct cx_buf *bytes)
{
	deliver(req, 200, whole_response(req, type, bytes));
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

/* Refusals that HTTP has a number for and cx_kind has not. */
__attribute__((format(printf, 4, 5))) static void refuse(struct cx_request *req, unsigned status,
							 const char *code, const char *fmt, ...)
{
	struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err failed;
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "detail", text);
	cx_jsonw_text(&w, "code", code);
	cx_jsonw_text(&w, "request_id", req->id);
	cx_jsonw_end(&w);
	note_failure(req, status, text);
	if (cx_jsonw_finish(&w, &failed) < 0)
		cx_log_err(CX_LOG_ERROR, &failed, "no answer", NULL);
	cx_request_answer(req, status, &json);
}

/* ---- clients that leave ---------------------------------------------------------------------- */

static void client_moved(struct cx_source *watch, uint32_t events)
{
	struct cx_request *req = cx_container_of(watch, struct cx_request, watch);
	void (*gone)(struct cx_request *) = req->gone;

	(void)events;
	cx_loop_drop(req->http->o.loop, watch);
	req->lost = true;
	req->gone = NULL;
	if (req->stream != NULL)
		resume(req); /* to its end */
	else if (gone != NULL && !req->answered)
		gone(req);
}

/* MHD looks away from a suspended connection, so somebody else has to see its end. */
static void watch_client(struct cx_request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct cx_err err;
	int fd = info != NULL ? fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (fd < 0)
		return;
	req->watch = (struct cx_source){ .fd = fd, .ready = client_moved };
	if (cx_loop_add(req->http->o.loop, &req->watch, EPOLLRDHUP, &err) < 0)
		cx_close(&req->watch.fd);
}

/* ---- bodies in pieces ------------------------------------------------------------------------ */

static ssize_t read_piece(void *cls, uint64_t pos, char *to, size_t max)
{
	struct cx_request *req = cls;
	ssize_t n = req->lost ? CX_PIECES_CUT : req->stream->read(req->stream, to, max);

	(void)pos;
	if (n == CX_PIECES_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0) {
		req->suspended = true;
		MHD_suspend_connection(req->connection);
	}
	return n;
}

void cx_request_stream_sized(struct cx_request *req, unsigned status, const char *type,
			     uint64_t size, struct cx_pieces *body)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(size, PIECE, read_piece, req, NULL);

	body->req = req;
	req->stream = body;
	if (response != NULL)
		(void)MHD_add_response_header(response, "Content-Type", type);
	if (!req->watch.added && !req->lost)
		watch_client(req);
	deliver(req, status, response);
}

void cx_request_stream(struct cx_request *req, unsigned status, const char *type,
		       struct cx_pieces *body)
{
	cx_request_stream_sized(req, status, type, MHD_SIZE_UNKNOWN, body);
}

void cx_pieces_wake(struct cx_pieces *body)
{
	resume(body->req);
}

bool cx_request_sees_cut(const struct cx_request *req)
{
	return !req->http_1_0;
}

/* ---- upgrades -------------------------------------------------------------------------------- */

struct cx_upgrade {
	struct cx_http *http;
	struct connection *from;
	struct MHD_UpgradeResponseHandle *handle;
};

static void hand_over(void *cls, struct MHD_Connection *connection, void *con_cls,
		      const char *extra, size_t extra_len, MHD_socket sock,
		      struct MHD_UpgradeResponseHandle *handle)
{
	struct cx_request *req = cls;
	void (*upgraded)(void *, int, struct cx_upgrade *) = req->upgraded;
	struct cx_upgrade *upgrade = malloc(sizeof *upgrade);
	int own = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	struct cx_err err;

	(void)connection;
	(void)con_cls;
	(void)extra;
	req->upgraded = NULL;
	/* A client waits for 101 before its first frame; bytes sent before are not worth a path. */
	if (upgrade == NULL || own < 0 || extra_len > 0 || cx_set_nonblock(own, true, &err) < 0) {
		free(upgrade);
		cx_close(&own);
		(void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
		upgraded(req->upgrade_arg, -1, NULL);
		return;
	}
	*upgrade = (struct cx_upgrade){ .http = req->http, .from = req->from, .handle = handle };
	upgraded(req->upgrade_arg, own, upgrade);
}

void cx_upgrade_close(struct cx_upgrade *upgrade)
{
	/* With TLS the last bytes are still to be passed on, in several runs of libmicrohttpd. */
	if (upgrade->from != NULL && upgrade->from->at->tls) {
		upgrade->from->leaving = true;
		upgrade->http->leaving++;
	}
	(void)MHD_upgrade_action(upgrade->handle, MHD_UPGRADE_ACTION_CLOSE);
	run_soon(upgrade->http);
	free(upgrade);
}

void cx_request_upgrade(struct cx_request *req, const char *protocol,
			void (*upgraded)(void *arg, int sock, struct cx_upgrade *upgrade),
			void *arg)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(hand_over, req);

	req->upgraded = upgraded;
	req->upgrade_arg = arg;
	if (response != NULL)
		(void)MHD_add_response_header(response, "Upgrade", protocol);
	deliver(req, MHD_HTTP_SWITCHING_PROTOCOLS, response);
}

bool cx_request_wants_upgrade(const struct cx_request *req, const char *protocol)
{
	const char *value = header(req, "Upgrade");

	return value != NULL && strcasecmp(value, protocol) == 0;
}

/* ---- a request from first header to last byte ------------------------------------------------ */

static enum MHD_Result queue_answer(struct cx_request *req)
{
	if (req->response == NULL)
		return MHD_NO;
	if (req->stream != NULL)
		(void)MHD_set_connection_option(req->connection, MHD_CONNECTION_OPTION_TIMEOUT,
						(unsigned)STALL_SECONDS);
	return MHD_queue_response(req->connection, req->status, req->response);
}

static void body_broke(struct cx_request *req)
{
	void (*broken)(struct cx_request *) = req->broken;

	req->broken = NULL;
	if (broken != NULL && !req->handled)
		broken(req);
}

/* The answer is there, or it is waited for. */
static enum MHD_Result answer_or_wait(struct cx_request *req)
{
	if (req->answered)
		return queue_answer(req);
	req->suspended = true;
	if (req->gone != NULL)
		watch_client(req);
	MHD_suspend_connection(req->connection);
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
	enter(req, CX_PEER_SERVED);
	if (req->inflow != NULL)
		return end_inflow(req);
	if (req->handled) /* resumed: the answer is there */
		return queue_answer(req);
	if (req->too_large || req->body_err.errnum != 0)
		body_broke(req);
	req->handled = true;
	if (req->too_large)
		refuse(req, 413, "too_large", "the body is larger than %llu bytes",
		       (unsigned long long)req->body_max);
	else if (req->body_err.errnum != 0)
		cx_request_fail(req, &req->body_err);
	else if (req->whole != NULL)
		req->whole(req);
	else
		req->route->handle(req);
	return answer_or_wait(req);
}

static int keep_bytes(struct cx_request *req, const char *data, size_t len, struct cx_err *err)
{
	switch (req->route->body) {
	case CX_BODY_JSON:
	case CX_BODY_LONG:
	case CX_BODY_CALL:
		return cx_buf_add(&req->body, data, len, err);
	case CX_BODY_FILE:
	case CX_BODY_COMES:
		return cx_write_all(req->body_fd, data, len, err);
	case CX_BODY_STREAM:
	case CX_BODY_NONE:
		break;
	}
	return 0;
}

static uint64_t drop_max(const struct cx_request *req)
{
	bool stream = req->route != NULL && req->route->body == CX_BODY_STREAM;

	return stream ? DROP_STREAM_MAX : DROP_MAX;
}

static void count_bytes(struct cx_request *req, size_t n)
{
	enter(req, CX_PEER_SENDING);
	req->body_bytes += n;
	if (req->from != NULL)
		req->from->peer.bytes += n;
}

/* What is not taken is offered again: at once, or after cx_inflow_wake(). */
static enum MHD_Result feed_inflow(struct cx_request *req, const char *data, size_t *len)
{
	struct cx_inflow *in = req->inflow;
	size_t n = in->take(in, data, *len);

	if (req->inflow == NULL)
		n = *len;
	count_bytes(req, n);
	*len -= n;
	if (req->body_bytes > req->body_max && req->inflow != NULL) {
		in->lost(in);
		refuse(req, 413, "too_large", "the body is larger than %llu bytes",
		       (unsigned long long)req->body_max);
	} else if (n == 0) {
		enter(req, CX_PEER_SERVED); /* it waits for us */
		req->suspended = true;
		MHD_suspend_connection(req->connection);
	}
	return MHD_YES;
}

/*
 * MHD cannot answer in the middle of a body: what is not wanted is thrown away until its end, but
 * not without end.
 */
static enum MHD_Result take_bytes(struct cx_request *req, const char *data, size_t *len)
{
	size_t n = *len;

	if (req->inflow != NULL)
		return feed_inflow(req, data, len);
	*len = 0;
	count_bytes(req, n);
	if (req->body_bytes > req->body_max)
		req->too_large = true;
	if (req->handled || req->too_large)
		return req->body_bytes > req->body_max + drop_max(req) ? MHD_NO : MHD_YES;
	if (req->body_err.errnum == 0 && keep_bytes(req, data, n, &req->body_err) < 0) {
		(void)cx_wrap(&req->body_err, "keep the body");
		if (req->body_err.errnum == ENOSPC)
			(void)cx_refuse(&req->body_err, CX_LIMIT,
					"the disk of the state directory is full");
		cx_close(&req->body_fd);
	}
	if (req->grown != NULL && req->body_err.errnum == 0)
		req->grown(req);
	return MHD_YES;
}

struct framing {
	unsigned lengths, codings;
	bool odd;
};

static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *key,
				     const char *value)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789!#$%&'*+-.^_`|~";
	struct framing *f = cls;

	(void)kind;
	/* "Content-Length : 5" is a length for some who read it and none for others. */
	f->odd = f->odd || key[0] == '\0' || key[strspn(key, token)] != '\0';
	if (strcasecmp(key, "Content-Length") == 0) {
		f->lengths++;
		f->odd = f->odd || value == NULL || value[0] == '\0' ||
			 strspn(value, "0123456789") != strlen(value);
	}
	if (strcasecmp(key, "Transfer-Encoding") == 0) {
		f->codings++;
		f->odd = f->odd || value == NULL || strcasecmp(value, "chunked") != 0;
	}
	return MHD_YES;
}

/* Two readings of where a request ends are how one request is smuggled in another. */
static bool framing_is_clear(struct cx_request *req)
{
	struct framing f = { 0 };

	(void)MHD_get_connection_values(req->connection, MHD_HEADER_KIND, count_framing, &f);
	return !f.odd && f.lengths + f.codings <= 1;
}

static void open_spool(struct cx_request *req, uint64_t announced)
{
	int dir = req->http->o.spool_dir;
	struct statvfs fs;

	if (fstatvfs(dir, &fs) == 0 && announced > fs.f_bavail * fs.f_frsize) {
		(void)cx_refuse(&req->body_err, CX_LIMIT,
				"the body has %llu bytes; %llu are free in the state directory",
				(unsigned long long)announced,
				(unsigned long long)(fs.f_bavail * fs.f_frsize));
		cx_request_fail(req, &req->body_err);
		return;
	}
	req->body_fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (req->body_fd < 0) {
		(void)cx_fail(&req->body_err, errno, "make a spool file");
		cx_request_fail(req, &req->body_err);
	}
}

static uint64_t announced_bytes(const struct cx_request *req)
{
	const char *length = header(req, "Content-Length");

	return length != NULL ? strtoull(length, NULL, 10) : 0;
}

static uint64_t body_max(const struct cx_request *req)
{
	switch (req->route->body) {
	case CX_BODY_FILE:
	case CX_BODY_COMES:
		return req->http->o.file_body_max;
	case CX_BODY_LONG:
		return CX_LONG_BODY_MAX;
	case CX_BODY_STREAM:
		return CX_STREAM_BODY_MAX;
	case CX_BODY_CALL:
		return CX_CALL_BODY_MAX;
	case CX_BODY_JSON:
	case CX_BODY_NONE:
		break;
	}
	return CX_JSON_BODY_MAX;
}

static void prepare_body(struct cx_request *req)
{
	uint64_t announced = announced_bytes(req);

	req->body_max = body_max(req);
	req->body.max = CX_LONG_BODY_MAX;
	if (announced > req->body_max)
		refuse(req, 413, "too_large", "the body has %llu bytes; at most %llu are taken",
		       (unsigned long long)announced, (unsigned long long)req->body_max);
	else if (req->route->body == CX_BODY_FILE || req->route->body == CX_BODY_COMES)
		open_spool(req, announced);
}

/* Who connected to the Unix socket, as the kernel saw it then. */
static const uid_t *peer_of(const struct cx_request *req, uid_t *ret)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (info == NULL ||
	    getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    len != sizeof peer)
		return NULL;
	*ret = peer.uid;
	return ret;
}

static int identify(const struct listener *at, struct cx_request *req, struct cx_err *err)
{
	uid_t uid;

	return cx_identify(at->http->o.auth, header(req, "Authorization"),
			   at->local ? peer_of(req, &uid) : NULL, &req->caller, err);
}

static void refuse_stranger(struct cx_request *req, const char *detail)
{
	/* The word that clients of Connect know, too; they take an unknown one for "try again". */
	refuse(req, 401, "unauthenticated", "%s", detail);
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
static void judge_caller(const struct listener *at, struct cx_request *req)
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
		refuse(req, 403, "denied", "only an administrator may do this");
}

/* Everything that can be said without the body. */
static void judge_headers(const struct listener *at, struct cx_request *req, const char *method,
			  const char *path)
{
	char allow[64];
	unsigned status = 404;

	req->route = cx_route_find(method, path, req->param, &status, allow);
	judge_caller(at, req);
	if (req->answered)
		return;
	if (!framing_is_clear(req)) {
		refuse(req, 400, "invalid",
		       "it is not clear where the request ends: send one "
		       "Content-Length or 'Transfer-Encoding: chunked', and no header "
		       "whose name is none");
		req->unclear = true;
		return;
	}
	if (req->route == NULL && status == 405) {
		refuse(req, 405, "method_not_allowed", "this path takes %s", allow);
		if (req->response != NULL)
			(void)MHD_add_response_header(req->response, "Allow", allow);
		return;
	}
	if (req->route == NULL) {
		refuse(req, 404, "not_found", "there is no such path in this API");
		return;
	}
	prepare_body(req);
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
	if (!req->unclear && announced_bytes(req) <= drop_max(req) && header(req, "Expect") == NULL)
		return MHD_YES;
	req->linger = true;
	if (req->response != NULL)
		(void)MHD_add_response_header(req->response, "Connection", "close");
	return queue_answer(req);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static struct cx_request *begin_request(struct listener *at, struct MHD_Connection *connection)
{
	struct cx_request *req = calloc(1, sizeof *req);

	if (req == NULL)
		return NULL;
	/* What came before on this connection may have been a stream. */
	(void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					(unsigned)IDLE_SECONDS);
	req->gateway = at->http->o.gateway;
	req->http = at->http;
	req->from = connection_of(connection);
	enter(req, CX_PEER_SENDING);
	req->connection = connection;
	req->body_fd = -EBADF;
	req->watch.fd = -EBADF;
	cx_request_id_choose(header(req, "X-Request-Id"), req->id);
	req->began_us = cx_now_us();
	req->next = at->http->requests;
	req->link = &at->http->requests;
	if (req->next != NULL)
		req->next->link = &req->next;
	at->http->requests = req;
	return req;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
				 const char *method, const char *version, const char *data,
				 size_t *len, void **con_cls)
{
	struct listener *at = cls;
	struct cx_request *req = *con_cls;

	if (req != NULL)
		return *len > 0 ? take_bytes(req, data, len) : handle_complete(req);
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

static void linger(struct cx_http *http, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info != NULL)
		cx_linger_add(&http->lingers, info->connect_fd);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode why)
{
	struct cx_request *req = *con_cls;

	(void)cls;
	if (req == NULL)
		return;
	*con_cls = NULL;
	enter(req, CX_PEER_WAITING);
	if (req->linger && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		linger(req->http, connection);
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
	release_request(req);
}

/* ---- what a handler asks
 * -------------------------------------------------------------------------- */

const char *cx_request_second(const struct cx_request *req)
{
	return req->param + strlen(req->param) + 1;
}

struct cx_loop *cx_request_loop(const struct cx_request *req)
{
	return req->http->o.loop;
}

const char *cx_request_query(const struct cx_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, name);
}

int cx_request_query_u64(const struct cx_request *req, const char *name, uint64_t min, uint64_t max,
			 uint64_t *value, struct cx_err *err)
{
	const char *text = cx_request_query(req, name);

	return text != NULL ? cx_parse_u64(text, min, max, name, value, err) : 0;
}

unsigned cx_request_connections(const struct cx_request *req)
{
	unsigned n = 0;

	for (unsigned i = 0; i < req->http->n; i++) {
		const union MHD_DaemonInfo *info = MHD_get_daemon_info(
			req->http->listeners[i].daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

		n += info != NULL ? info->num_connections : 0;
	}
	return n;
}

const char *cx_request_scheme(const struct cx_request *req)
{
	const char *forwarded = header(req, "X-Forwarded-Proto");

	return (req->from != NULL && req->from->at->tls) ||
			       (forwarded != NULL && strcasecmp(forwarded, "https") == 0)
		       ? "https"
		       : "http";
}

const char *cx_request_host(const struct cx_request *req)
{
	return header(req, "Host");
}

uint64_t cx_request_announced(const struct cx_request *req)
{
	return announced_bytes(req);
}

const char *cx_request_content_type(const struct cx_request *req)
{
	return header(req, "Content-Type");
}

void cx_request_take(struct cx_request *req, struct cx_inflow *in)
{
	in->req = req;
	req->inflow = in;
}

void cx_inflow_wake(struct cx_inflow *in)
{
	resume(in->req);
}

const char *cx_request_header(const struct cx_request *req, const char *name)
{
	return header(req, name);
}

const char *cx_request_agent(const struct cx_request *req)
{
	return header(req, "User-Agent");
}

struct query_walk {
	const char *name;
	void (*each)(const char *value, void *arg);
	void *arg;
};

static enum MHD_Result walk_query(void *cls, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	struct query_walk *walk = cls;

	(void)kind;
	if (value != NULL && strcmp(key, walk->name) == 0)
		walk->each(value, walk->arg);
	return MHD_YES;
}

void cx_request_query_each(const struct cx_request *req, const char *name,
			   void (*each)(const char *value, void *arg), void *arg)
{
	struct query_walk walk = { name, each, arg };

	(void)MHD_get_connection_values(req->connection, MHD_GET_ARGUMENT_KIND, walk_query, &walk);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%00" stays as it is: decoded, it would cut the path behind the back of the route table. */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *s)
{
	char *to = s;

	(void)cls;
	(void)connection;
	for (const char *from = s; *from != '\0'; from++) {
		int high = from[0] == '%' ? hex_value(from[1]) : -1;
		int low = high >= 0 ? hex_value(from[2]) : -1;

		if (low >= 0 && high + low > 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - s);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* libmicrohttpd sees its end and closes it. */
static void shut(struct cx_peer *peer)
{
	(void)shutdown(cx_container_of(peer, struct connection, peer)->fd, SHUT_RDWR);
}

static void on_sweep(struct cx_timer *timer)
{
	struct cx_http *http = cx_container_of(timer, struct cx_http, sweep);
	uint64_t now_ms = cx_now_ms();
	bool again = false;

	for (unsigned i = 0; i < http->n; i++)
		again |= cx_peers_sweep(&http->listeners[i].peers, now_ms);
	if (again)
		cx_timer_set(http->o.loop, timer, SWEEP_MS);
}

static void open_connection(struct listener *at, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *c = calloc(1, sizeof *c);

	*context = c;
	if (c == NULL)
		return;
	c->at = at;
	c->fd = info != NULL ? info->connect_fd : -EBADF;
	cx_peers_add(&at->peers, &c->peer, cx_now_ms());
	if (at->http->sweep.link == NULL)
		cx_timer_set(at->http->o.loop, &at->http->sweep, SWEEP_MS);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct connection *c = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		open_connection(cls, connection, context);
		return;
	}
	if (c == NULL)
		return;
	*context = NULL;
	c->at->http->leaving -= c->leaving;
	cx_peers_remove(&c->at->peers, &c->peer);
	free(c);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void set_timer(struct cx_http *http)
{
	MHD_UNSIGNED_LONG_LONG next = http->resumed	  ? 0
				      : http->leaving > 0 ? LEAVE_MS
							  : UINT64_MAX,
			       one;

	for (unsigned i = 0; i < http->n; i++)
		if (MHD_get_timeout(http->listeners[i].daemon, &one) == MHD_YES && one < next)
			next = one;
	if (next != UINT64_MAX)
		cx_timer_set(http->o.loop, &http->timer, next);
	else
		cx_timer_clear(&http->timer);
}

static void on_ready(struct cx_source *source, uint32_t events)
{
	struct listener *at = cx_container_of(source, struct listener, source);

	(void)events;
	(void)MHD_run(at->daemon);
	set_timer(at->http);
}

static void on_timer(struct cx_timer *timer)
{
	struct cx_http *http = cx_container_of(timer, struct cx_http, timer);

	http->resumed = false;
	for (unsigned i = 0; i < http->n; i++)
		(void)MHD_run(http->listeners[i].daemon);
	set_timer(http);
}

__attribute__((format(printf, 2, 0))) static void log_mhd(void *cls, const char *fmt, va_list args)
{
	char text[256];

	(void)cls;
	(void)vsnprintf(text, sizeof text, fmt, args);
	cx_log(CX_LOG_DEBUG, "libmicrohttpd", "says", text, NULL);
}

int cx_http_open(const struct cx_http_options *options, struct cx_http **ret, struct cx_err *err)
{
	struct cx_http *http = calloc(1, sizeof *http);

	if (http == NULL)
		return cx_fail(err, ENOMEM, "http server");
	http->o = *options;
	http->timer.fire = on_timer;
	http->sweep.fire = on_sweep;
	http->lingers.loop = options->loop;
	*ret = http;
	return 0;
}

static struct MHD_Daemon *start_daemon(struct listener *at, int sock, unsigned most)
{
	const struct cx_http_options *o = &at->http->o;
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
			 MHD_USE_ERROR_LOG | (at->tls ? MHD_USE_TLS : 0);

	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, at, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
		MHD_OPTION_LISTEN_SOCKET, sock, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, at, MHD_OPTION_CONNECTION_LIMIT, most,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
		at->tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, o->tls_cert,
		MHD_OPTION_HTTPS_MEM_KEY, o->tls_key, MHD_OPTION_HTTPS_PRIORITIES,
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_END);
}

int cx_http_listen(struct cx_http *http, int *sock, bool local, struct cx_err *err)
{
	struct listener *at = &http->listeners[http->n];
	const union MHD_DaemonInfo *info;
	cx_autofd int taken = cx_take_fd(sock);
	unsigned most;

	if (http->n == LISTENERS_MAX)
		return cx_refuse(err, CX_LIMIT, "more than %d listening sockets", LISTENERS_MAX);
	if (cx_set_nonblock(taken, true, err) < 0)
		return -err->errnum;
	*at = (struct listener){ .http = http,
				 .local = local,
				 .tls = !local && http->o.tls_cert != NULL };
	most = local ? http->o.connections_max : http->o.strangers_max;
	cx_peers_open(&at->peers, most - most / 16, shut);
	at->daemon = start_daemon(at, taken, most);
	if (at->daemon == NULL)
		return cx_fail(err, EIO,
			       at->tls ? "start libmicrohttpd: do the certificate and the key of "
					 "--tls-cert and --tls-key belong together?"
				       : "start libmicrohttpd");
	(void)cx_take_fd(&taken); /* the daemon's now */
	http->n++;
	info = MHD_get_daemon_info(at->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	at->source.ready = on_ready;
	at->source.fd = fcntl(info->epoll_fd, F_DUPFD_CLOEXEC, 3);
	if (at->source.fd < 0)
		return cx_fail(err, errno, "duplicate the epoll descriptor");
	return cx_loop_add(http->o.loop, &at->source, EPOLLIN, err);
}

void cx_http_close(struct cx_http *http)
{
	cx_timer_clear(&http->timer);
	cx_timer_clear(&http->sweep);
	for (unsigned i = 0; i < http->n; i++) {
		cx_loop_drop(http->o.loop, &http->listeners[i].source);
		MHD_stop_daemon(http->listeners[i].daemon);
	}
	cx_lingers_close(&http->lingers);
	free(http);
}
