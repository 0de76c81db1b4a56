/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/access.h"
#include "api/prime/connect.h"
#include "api/prime/handlers.h"
#include "api/prime/message.h"

/* Connect's calls of command_session.CommandSession, over api/proc.h. */
enum {
	PIECES_MAX = CX_PROC_HELD_MAX, /* bytes of messages that wait in one answer */
	OUT_MAX = PIECES_MAX + 2 * CX_PROC_PIECE_MAX + CX_CONNECT_END_MAX,
	QUIET_MS = 30 * 1000, /* then a sign of life */
	GRACE_MS = 2 * 1000,  /* for the end of a command whose time is up */
};

#define STREAM_TYPE "application/connect+proto"
#define CALL_TYPE   "application/proto"

/* ---- what both kinds of calls share -----------------------------------------------------------
 */

/* False: answered already. */
static bool check_headers(struct cx_request *req, const char *type)
{
	const char *given = cx_request_header(req, "Content-Type");
	const char *version = cx_request_header(req, "Connect-Protocol-Version");
	struct cx_err err;

	if (given == NULL || strcasecmp(given, type) != 0)
		(void)cx_refuse(&err, CX_INVALID, "this call takes %s", type);
	else if (version != NULL && strcmp(version, "1") != 0)
		(void)cx_refuse(&err, CX_INVALID, "version 1 of the Connect protocol is spoken");
	else
		return true;
	cx_request_fail_as(req, given == NULL || strcasecmp(given, type) != 0 ? 415 : 400, &err);
	return false;
}

/*
 * The id and the session of the sandbox that is meant. One that has ended, is ending or paused is
 * CX_NOT_FOUND, the only word by which clients look for why; one that starts is CX_UNAVAILABLE.
 */
static int reach(struct cx_request *req, const char **ret_id, struct cx_session **ret,
		 struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err why;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	if (cx_access_session(req, req->param, ret, &why) == 0) {
		*ret_id =
			named.row->id; /* the path may have its name; it lives, and so does this */
		return 0;
	}
	if (strcmp(named.row->status, "PENDING") == 0 ||
	    strcmp(named.row->status, "PROVISIONING") == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "%s", why.msg);
	if (why.kind == CX_CONFLICT)
		return cx_refuse(err, CX_NOT_FOUND, "%s", why.msg);
	*err = why;
	return -err->errnum;
}

/*
 * Why a command did not start or was lost sight of, as clients have to hear it: first of all
 * whether its sandbox still is there. What is missing inside is no CX_NOT_FOUND, which would speak
 * of the sandbox, and nothing that the same request could change.
 */
static void explain(struct cx_request *req, const struct cx_err *why, struct cx_err *ret)
{
	struct cx_session *session;
	const char *id;

	if (reach(req, &id, &session, ret) < 0)
		return;
	*ret = *why;
	if (why->kind == CX_NOT_FOUND || why->kind == CX_DENIED || why->kind == CX_INVALID)
		ret->kind = CX_CONFLICT;
	if (why->kind == CX_TIMEOUT || why->kind == CX_CONFLICT)
		ret->kind = CX_UNAVAILABLE;
}

/* ---- calls with a stream of events ------------------------------------------------------------
 */

struct stream { /* freed when its answer is closed */
	struct cx_pieces body;
	struct cx_proc_watch watcher;
	struct cx_timer deadline, quiet;
	struct cx_request *req;
	struct cx_buf out;
	bool over; /* the last envelope is in out */
};

static void answer_end(struct cx_request *req, const struct cx_err *why)
{
	struct cx_buf out = { .max = CX_CONNECT_END_MAX + CX_CONNECT_HEADER };
	struct cx_err err;

	if (cx_connect_end(&out, why, req->id, &err) < 0)
		cx_request_fail(req, &err);
	else
		cx_request_answer_as(req, STREAM_TYPE, &out);
}

/* A failure to say even that is a cut stream, which clients see. */
static void end_stream(struct stream *s, const struct cx_err *why)
{
	struct cx_err err;

	if (s->over)
		return;
	s->over = true;
	cx_proc_leave(&s->watcher);
	(void)!cx_connect_end(&s->out, why, s->req->id, &err);
}

static void add_message(struct stream *s, const struct cx_proc_event *event)
{
	size_t start = s->out.len;
	char header[CX_CONNECT_HEADER] = { 0 };
	struct cx_err err;

	if (cx_buf_add(&s->out, header, sizeof header, &err) < 0 ||
	    (event != NULL ? cx_prime_write_event(&s->out, event, &err)
			   : cx_prime_write_keepalive(&s->out, &err)) < 0) {
		s->out.len = start;
		end_stream(s, &err);
		return;
	}
	cx_connect_header(s->out.p + start, 0, s->out.len - start - CX_CONNECT_HEADER);
}

static void time_is_up(struct cx_timer *timer)
{
	struct stream *s = cx_container_of(timer, struct stream, deadline);
	struct cx_err why;

	(void)cx_refuse(&why, CX_TIMEOUT, "the deadline is over");
	end_stream(s, &why);
	cx_pieces_wake(&s->body);
}

static void show_event(const struct cx_proc_event *event, void *arg)
{
	struct stream *s = arg;
	struct cx_err why;

	if (event->kind == CX_PROC_FAILED)
		explain(s->req, event->err, &why);
	else if (event->kind == CX_PROC_ENDED && event->end->how == CX_EXITED_TIMEOUT)
		(void)cx_refuse(&why, CX_TIMEOUT, "the command took longer than its timeout");
	else {
		add_message(s, event);
		return;
	}
	s->over = true;
	(void)!cx_connect_end(&s->out, &why, s->req->id, &why);
}

static void collect(struct stream *s)
{
	enum cx_taken taken = CX_TAKEN_ONE;

	while (!s->over && s->out.len < PIECES_MAX && taken == CX_TAKEN_ONE)
		taken = cx_proc_take(&s->watcher, show_event, s);
	if (taken == CX_TAKEN_LAST)
		end_stream(s, NULL);
}

static ssize_t read_stream(struct cx_pieces *body, char *to, size_t max)
{
	struct stream *s = cx_container_of(body, struct stream, body);
	size_t n;

	if (s->out.len == 0)
		collect(s);
	if (s->out.len == 0)
		return s->over ? CX_PIECES_END : 0;
	n = s->out.len < max ? s->out.len : max;
	memcpy(to, s->out.p, n);
	cx_buf_drop_front(&s->out, n);
	cx_timer_set(cx_request_loop(s->req), &s->quiet, QUIET_MS);
	return (ssize_t)n;
}

static void long_quiet(struct cx_timer *timer)
{
	struct stream *s = cx_container_of(timer, struct stream, quiet);

	if (!s->over && s->out.len == 0)
		add_message(s, NULL);
	cx_pieces_wake(&s->body);
}

static void stream_closed(struct cx_pieces *body)
{
	struct stream *s = cx_container_of(body, struct stream, body);

	cx_proc_leave(&s->watcher);
	cx_timer_clear(&s->deadline);
	cx_timer_clear(&s->quiet);
	cx_buf_free(&s->out);
	free(s);
}

static void event_ready(struct cx_proc_watch *watcher)
{
	cx_pieces_wake(&cx_container_of(watcher, struct stream, watcher)->body);
}

/* body.req is set by cx_request_stream(): nothing is told before the next turn of the loop. */
static void begin_stream(struct stream *s, uint32_t deadline_ms)
{
	struct cx_loop *loop = cx_request_loop(s->req);

	s->deadline.fire = time_is_up;
	s->quiet.fire = long_quiet;
	if (deadline_ms > 0)
		cx_timer_set(loop, &s->deadline, deadline_ms);
	cx_timer_set(loop, &s->quiet, QUIET_MS);
	cx_request_stream(s->req, 200, STREAM_TYPE, &s->body);
}

static int read_stream_request(struct cx_request *req, struct cx_buf *message, uint32_t *timeout_ms,
			       struct cx_err *err)
{
	enum cx_connect_encoding encoding;

	if (cx_connect_encoding(cx_request_header(req, "Connect-Content-Encoding"), &encoding,
				err) < 0 ||
	    cx_connect_timeout(cx_request_header(req, "Connect-Timeout-Ms"), timeout_ms, err) < 0)
		return -err->errnum;
	return cx_connect_stream_message(req->body.p, req->body.len, encoding, message, err);
}

/* The process of a new one ends with the deadline; of one that was there, only this look at it. */
static int start(struct cx_request *req, const struct cx_buf *message, uint32_t timeout_ms,
		 struct stream *s, uint32_t *deadline_ms, struct cx_err *err)
{
	struct cx_proc_plan plan = { 0 };
	struct cx_session *session;
	bool attached;
	const char *id;
	int r;

	if (reach(req, &id, &session, err) < 0 ||
	    cx_prime_read_start(message->p, message->len, &plan, err) < 0)
		return -err->errnum;
	plan.spec.timeout_ms = timeout_ms;
	r = cx_proc_start(req->gateway, id, session, &plan, &s->watcher, &attached, err);
	cx_proc_plan_clear(&plan);
	*deadline_ms = timeout_ms;
	if (r == 0 && !attached && timeout_ms > 0)
		*deadline_ms = timeout_ms < UINT32_MAX - GRACE_MS ? timeout_ms + GRACE_MS : 0;
	return r;
}

static int attach(struct cx_request *req, const struct cx_buf *message, uint32_t timeout_ms,
		  struct stream *s, uint32_t *deadline_ms, struct cx_err *err)
{
	struct cx_prime_selector selector;
	struct cx_session *session;
	struct cx_proc *process;
	const char *id;

	*deadline_ms = timeout_ms;
	if (reach(req, &id, &session, err) < 0 ||
	    cx_prime_read_connect(message->p, message->len, &selector, err) < 0 ||
	    cx_proc_find(req->gateway, id, selector.uuid, selector.pid, &process, err) < 0)
		return -err->errnum;
	return cx_proc_watch(process, &s->watcher, err);
}

static void serve_stream(struct cx_request *req,
			 int (*begin)(struct cx_request *, const struct cx_buf *, uint32_t,
				      struct stream *, uint32_t *, struct cx_err *))
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 };
	uint32_t timeout_ms, deadline_ms;
	struct cx_err err;
	struct stream *s;

	if (!check_headers(req, STREAM_TYPE))
		return;
	s = calloc(1, sizeof *s);
	if (s == NULL) {
		(void)cx_fail(&err, ENOMEM, "answer");
		answer_end(req, &err);
		return;
	}
	s->req = req;
	s->out.max = OUT_MAX;
	s->body = (struct cx_pieces){
		.read = read_stream, .closed = stream_closed, .quiet = true, .req = req
	};
	s->watcher.ready = event_ready;
	if (read_stream_request(req, &message, &timeout_ms, &err) == 0 &&
	    begin(req, &message, timeout_ms, s, &deadline_ms, &err) == 0) {
		begin_stream(s, deadline_ms);
		return;
	}
	answer_end(req, &err);
	free(s);
}

void cx_prime_command_start(struct cx_request *req)
{
	serve_stream(req, start);
}

void cx_prime_command_connect(struct cx_request *req)
{
	serve_stream(req, attach);
}

/* ---- calls with one answer --------------------------------------------------------------------
 */

/* All of them have nothing to say but that it was done. */
static void answer_call(struct cx_request *req, const struct cx_err *why)
{
	struct cx_buf body = { .max = CX_CONNECT_END_MAX };
	struct cx_err err;

	if (why == NULL)
		cx_request_answer_as(req, CALL_TYPE, &body);
	else if (cx_connect_error(&body, why, req->id, &err) < 0)
		cx_request_fail(req, &err);
	else
		cx_request_answer(req, cx_connect_rows[why->kind].status, &body);
}

static int read_call(struct cx_request *req, struct cx_buf *message, uint32_t *timeout_ms,
		     struct cx_err *err)
{
	enum cx_connect_encoding encoding;

	if (cx_connect_encoding(cx_request_header(req, "Content-Encoding"), &encoding, err) < 0 ||
	    cx_connect_timeout(cx_request_header(req, "Connect-Timeout-Ms"), timeout_ms, err) < 0)
		return -err->errnum;
	return cx_connect_message(req->body.p, req->body.len, encoding, message, err);
}

static int send_signal(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 };
	struct cx_prime_signal signal;
	struct cx_session *session;
	struct cx_proc *process;
	uint32_t ignored_ms;
	const char *id;

	if (read_call(req, &message, &ignored_ms, err) < 0 || reach(req, &id, &session, err) < 0 ||
	    cx_prime_read_signal(message.p, message.len, &signal, err) < 0 ||
	    cx_proc_find(req->gateway, id, signal.process.uuid, signal.process.pid, &process, err) <
		    0)
		return -err->errnum;
	return cx_proc_signal(process, signal.signo, signal.uuid, err);
}

void cx_prime_command_signal(struct cx_request *req)
{
	struct cx_err err;

	if (check_headers(req, CALL_TYPE))
		answer_call(req, send_signal(req, &err) < 0 ? &err : NULL);
}

struct sending { /* input that waits for room; freed with its answer */
	struct cx_proc_sender sender;
	struct cx_prime_input input;
	struct cx_timer deadline;
	struct cx_request *req;
};

static void end_sending(struct sending *sending, const struct cx_err *why)
{
	struct cx_request *req = sending->req;

	cx_proc_sender_forget(&sending->sender);
	cx_timer_clear(&sending->deadline);
	req->gone = NULL;
	cx_prime_input_clear(&sending->input);
	free(sending);
	answer_call(req, why);
}

static void sent(struct cx_proc_sender *sender, const struct cx_err *err)
{
	end_sending(cx_container_of(sender, struct sending, sender), err);
}

static void sender_left(struct cx_request *req)
{
	struct cx_err why;

	(void)cx_refuse(&why, CX_UNAVAILABLE, "the client has gone");
	end_sending(req->owner, &why);
}

static void sending_is_late(struct cx_timer *timer)
{
	struct cx_err why;

	(void)cx_refuse(&why, CX_TIMEOUT, "the process does not read its input");
	end_sending(cx_container_of(timer, struct sending, deadline), &why);
}

static int prepare_sending(struct sending *sending, struct cx_proc **process, uint32_t *timeout_ms,
			   struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 };
	struct cx_prime_input *input = &sending->input;
	struct cx_request *req = sending->req;
	struct cx_session *session;
	const char *id;

	if (read_call(req, &message, timeout_ms, err) < 0 || reach(req, &id, &session, err) < 0 ||
	    cx_prime_read_input(message.p, message.len, input, err) < 0)
		return -err->errnum;
	sending->sender.p = input->data.p;
	sending->sender.len = input->data.len;
	sending->sender.uuid = input->uuid;
	return cx_proc_find(req->gateway, id, input->process.uuid, input->process.pid, process,
			    err);
}

/* 1: taken, 0: it waits. */
static int send_input(struct sending *sending, struct cx_err *err)
{
	struct cx_request *req = sending->req;
	struct cx_proc *process;
	uint32_t timeout_ms;
	int r = prepare_sending(sending, &process, &timeout_ms, err);

	if (r < 0)
		return r;
	sending->sender.done = sent;
	r = cx_proc_send(process, &sending->sender, err);
	if (r != 0)
		return r;
	req->owner = sending;
	req->gone = sender_left;
	sending->deadline.fire = sending_is_late;
	if (timeout_ms > 0)
		cx_timer_set(cx_request_loop(req), &sending->deadline, timeout_ms);
	return 0;
}

void cx_prime_command_input(struct cx_request *req)
{
	struct sending *sending;
	struct cx_err err;
	int r;

	if (!check_headers(req, CALL_TYPE))
		return;
	sending = calloc(1, sizeof *sending);
	if (sending == NULL) {
		(void)cx_fail(&err, ENOMEM, "input");
		answer_call(req, &err);
		return;
	}
	sending->req = req;
	r = send_input(sending, &err);
	if (r != 0)
		end_sending(sending, r < 0 ? &err : NULL);
}
