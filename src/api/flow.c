/* SPDX-License-Identifier: Apache-2.0 */
#include "api/flow.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/errors.h"
#include "api/jsonw.h"
#include "base/fd.h"

enum verdict { OPEN, ENDED, CUT };

struct cx_flow {
	struct cx_pieces body; /* the client's side */
	struct cx_loop *loop;
	void (*gone)(void *arg);
	void *arg;
	struct cx_buf queue;
	struct cx_source pipe;
	bool piped, drained; /* the pipe's end was seen */
	bool closed;	     /* on the client's side */
	char request_id[CX_REQUEST_ID_MAX + 1];
	enum verdict verdict;
};

/* ---- the end of a flow ----------------------------------------------------------------------- */

static void free_flow(struct cx_flow *flow)
{
	cx_buf_free(&flow->queue);
	free(flow);
}

/* The flow outlives its pipe by one batch of events, see cx_loop_drop(). */
static void pipe_gone(struct cx_source *pipe)
{
	free_flow(cx_container_of(pipe, struct cx_flow, pipe));
}

static void release(struct cx_flow *flow)
{
	if (!flow->pipe.added) {
		free_flow(flow);
		return;
	}
	flow->pipe.destroy = pipe_gone;
	cx_loop_drop(flow->loop, &flow->pipe);
}

static void decide(struct cx_flow *flow, enum verdict verdict)
{
	flow->verdict = verdict;
	if (flow->closed)
		release(flow);
	else
		cx_pieces_wake(&flow->body);
}

static void closed(struct cx_pieces *body)
{
	struct cx_flow *flow = cx_container_of(body, struct cx_flow, body);

	flow->closed = true;
	cx_buf_free(&flow->queue);
	cx_loop_drop(flow->loop, &flow->pipe); /* who writes into it shall notice */
	if (flow->verdict != OPEN)
		release(flow);
	else
		flow->gone(flow->arg);
}

void cx_flow_end(struct cx_flow *flow)
{
	decide(flow, ENDED);
}

void cx_flow_cut(struct cx_flow *flow)
{
	decide(flow, CUT);
}

/* ---- what the client takes ------------------------------------------------------------------- */

static ssize_t take_queue(struct cx_flow *flow, char *to, size_t max)
{
	size_t n = flow->queue.len < max ? flow->queue.len : max;

	memcpy(to, flow->queue.p, n);
	cx_buf_drop_front(&flow->queue, n);
	return (ssize_t)n;
}

/* Reads until it would block: the loop tells of new bytes, not of those that are there. */
static ssize_t take_pipe(struct cx_flow *flow, char *to, size_t max)
{
	ssize_t n;

	do
		n = read(flow->pipe.fd, to, max);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : CX_PIECES_CUT;
	if (n == 0) {
		flow->drained = true;
		cx_loop_drop(flow->loop, &flow->pipe);
	}
	return n;
}

static ssize_t take(struct cx_pieces *body, char *to, size_t max)
{
	struct cx_flow *flow = cx_container_of(body, struct cx_flow, body);
	ssize_t n = 0;

	if (flow->verdict == CUT)
		return CX_PIECES_CUT;
	if (flow->queue.len > 0)
		return take_queue(flow, to, max);
	if (!flow->drained)
		n = take_pipe(flow, to, max);
	return n == 0 && flow->drained && flow->verdict == ENDED ? CX_PIECES_END : n;
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	(void)events;
	cx_pieces_wake(&cx_container_of(pipe, struct cx_flow, pipe)->body);
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static struct cx_flow *make_flow(struct cx_request *req, void (*gone)(void *arg), void *arg)
{
	struct cx_flow *flow = calloc(1, sizeof *flow);

	if (flow == NULL)
		return NULL;
	flow->body = (struct cx_pieces){ .read = take, .closed = closed };
	flow->loop = cx_request_loop(req);
	memcpy(flow->request_id, req->id, sizeof flow->request_id);
	flow->gone = gone;
	flow->arg = arg;
	flow->pipe = (struct cx_source){ .fd = -EBADF, .ready = pipe_ready };
	return flow;
}

int cx_flow_lines(struct cx_request *req, void (*gone)(void *arg), void *arg, struct cx_flow **ret,
		  struct cx_err *err)
{
	struct cx_flow *flow = make_flow(req, gone, arg);

	if (flow == NULL)
		return cx_fail(err, ENOMEM, "answer");
	flow->drained = true; /* there is none */
	flow->body.quiet = true;
	cx_request_stream(req, 200, "application/x-ndjson", &flow->body);
	*ret = flow;
	return 0;
}

int cx_flow_pipe(struct cx_request *req, const char *type, int *pipe, void (*gone)(void *arg),
		 void *arg, struct cx_flow **ret, struct cx_err *err)
{
	cx_autofree struct cx_flow *flow = make_flow(req, gone, arg);

	if (!cx_request_sees_cut(req))
		return cx_refuse(err, CX_INVALID,
				 "this path needs HTTP/1.1: an older client could not tell whether "
				 "all of the answer has come");
	if (flow == NULL)
		return cx_fail(err, ENOMEM, "answer");
	if (cx_set_nonblock(*pipe, true, err) < 0)
		return -err->errnum;
	flow->piped = true;
	flow->pipe.fd = *pipe;
	if (cx_loop_add(flow->loop, &flow->pipe, EPOLLIN | EPOLLET, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(pipe); /* the flow's now */
	cx_request_stream(req, 200, type, &flow->body);
	*ret = cx_take_ptr(&flow);
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static int add_line(struct cx_flow *flow, const char *json, size_t len, size_t max,
		    struct cx_err *err)
{
	char *to;

	flow->queue.max = max;
	to = cx_buf_reserve(&flow->queue, len + 1, err);
	if (to == NULL)
		return -err->errnum;
	memcpy(to, json, len);
	to[len] = '\n';
	flow->queue.len += len + 1;
	return 0;
}

void cx_flow_line(struct cx_flow *flow, const char *json, size_t len, bool passing)
{
	struct cx_err dropped;

	if (flow->closed)
		return;
	if (add_line(flow, json, len, passing ? CX_FLOW_PASSING_MAX : CX_FLOW_QUEUE_MAX,
		     &dropped) == 0)
		cx_pieces_wake(&flow->body);
}

bool cx_flow_has_room(const struct cx_flow *flow)
{
	return flow->queue.len < CX_FLOW_PASSING_MAX;
}

void cx_flow_last(struct cx_flow *flow, const char *json, size_t len)
{
	struct cx_err err;
	int r = flow->closed
			? 0
			: add_line(flow, json, len, CX_FLOW_QUEUE_MAX + CX_FLOW_LAST_MAX, &err);

	decide(flow, r < 0 ? CUT : ENDED);
}

void cx_flow_fail(struct cx_flow *flow, const struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err failed;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", "error");
	cx_error_write(&w, err, flow->request_id);
	cx_jsonw_end(&w);
	if (flow->piped || cx_jsonw_finish(&w, &failed) < 0)
		cx_flow_cut(flow);
	else
		cx_flow_last(flow, json.p, json.len);
}
