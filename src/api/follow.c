/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "base/str.h"

enum { LOOK_MS = 200, CHUNK = 65536 };

/*
 * The log as it comes: what the agent has is asked for whenever the client has taken all of it.
 * When the sandbox ends, its record has the rest. A sandbox is looked up anew each time, so that
 * nothing is held of one that goes. The answer says where in the log it begins and is cut where
 * something is missing, so whoever was cut off can go on where that was.
 */
struct follow { /* freed when the client is done with it and nobody will tell it anything */
	struct cx_gateway *gw;
	struct cx_request *req; /* NULL: the answer has begun */
	struct cx_pieces body;
	char id[CX_SANDBOX_ID_MAX + 1];
	struct cx_buf text; /* to be sent */
	uint64_t offset;    /* in the log, of what comes behind text */
	struct cx_timer timer;
	struct cx_call call;
	struct cx_box_waiter end;
	bool waits; /* for end */
	bool closed;
	int over; /* 0, or what read() says behind text */
};

static void look(struct follow *f);

static void on_timer(struct cx_timer *timer)
{
	look(cx_container_of(timer, struct follow, timer));
}

static void look_in(struct follow *f, uint64_t ms)
{
	f->timer.fire = on_timer;
	cx_timer_set(f->gw->loop, &f->timer, ms);
}

/* True: what comes next is the log from there on. */
static bool goes_on_at(struct follow *f, uint64_t offset)
{
	struct cx_request *req = f->req;
	char text[24];

	if (req != NULL) {
		f->req = NULL;
		f->offset = offset;
		(void)snprintf(text, sizeof text, "%llu", (unsigned long long)offset);
		cx_request_stream(req, 200, "text/plain; charset=utf-8", &f->body);
		cx_request_say(req, "Log-Offset", text);
	}
	if (f->offset == offset)
		return true;
	f->over = CX_PIECES_CUT;
	cx_pieces_wake(&f->body);
	return false;
}

static void add(struct follow *f, const char *p, size_t len)
{
	struct cx_err err;

	f->text.max = f->text.len + len;
	if (cx_buf_add(&f->text, p, len, &err) < 0)
		f->over = CX_PIECES_CUT;
	cx_pieces_wake(&f->body);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void end(struct follow *f, const struct cx_sandbox_row *row)
{
	const char *log = row != NULL && row->log != NULL ? row->log : "";
	uint64_t len = strlen(log), have = row != NULL ? (uint64_t)row->log_bytes : 0;
	uint64_t missing = have > f->offset ? have - f->offset : 0;

	if (missing > len)
		missing = len;
	if (!goes_on_at(f, missing > 0 ? have - missing : f->offset))
		return;
	f->over = CX_PIECES_END;
	add(f, log + (len - missing), missing);
}

static void on_end(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		   const struct cx_err *err)
{
	struct follow *f = cx_container_of(waiter, struct follow, end);

	f->waits = false;
	if (f->closed)
		free(f);
	else if (err != NULL)
		look_in(f, LOOK_MS);
	else
		end(f, row);
}

static void end_by_record(struct follow *f)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct cx_err err;
	int found = cx_store_sandbox_by_id(f->gw->store, f->id, &row, &err);

	end(f, found > 0 ? &row : NULL);
}

/* ---- while it lives -------------------------------------------------------------------------- */

static void on_log(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct follow *f = cx_container_of(call, struct follow, call);

	if (err == NULL && !goes_on_at(f, answer->log.offset))
		return;
	if (err != NULL || answer->log.data.len == 0) {
		look_in(f, LOOK_MS);
		return;
	}
	f->offset = answer->log.offset + answer->log.data.len;
	add(f, answer->log.data.p, answer->log.data.len);
}

static void look(struct follow *f)
{
	struct cx_box *box = cx_box_find(f->gw, f->id);
	struct cx_session *session;
	struct cx_err err;

	if (box == NULL) {
		end_by_record(f);
		return;
	}
	f->waits = cx_box_wait_gone(box, &f->end);
	if (f->waits)
		return;
	session = cx_box_agent(box, &err); /* it may start, or just be reached again */
	if (session == NULL || cx_session_log(session, f->offset, CHUNK, &f->call, &err) < 0)
		look_in(f, LOOK_MS);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static ssize_t read_text(struct cx_pieces *body, char *to, size_t max)
{
	struct follow *f = cx_container_of(body, struct follow, body);
	size_t n = f->text.len < max ? f->text.len : max;

	if (n == 0)
		return f->over;
	memcpy(to, f->text.p, n);
	cx_buf_drop_front(&f->text, n);
	if (f->text.len == 0 && f->over == 0)
		look_in(f, 0);
	return (ssize_t)n;
}

static void on_closed(struct cx_pieces *body)
{
	struct follow *f = cx_container_of(body, struct follow, body);

	cx_timer_clear(&f->timer);
	cx_call_forget(&f->call);
	cx_buf_free(&f->text);
	f->closed = true;
	if (!f->waits)
		free(f);
}

static void on_gone(struct cx_request *req)
{
	struct follow *f = req->owner;

	(void)goes_on_at(f, f->offset);
	f->over = CX_PIECES_CUT;
	cx_pieces_wake(&f->body);
}

static int start(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	uint64_t offset = 0;
	struct follow *f;

	if (cx_request_query_u64(req, "offset", 0, INT64_MAX, &offset, err) < 0 ||
	    cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	f = calloc(1, sizeof *f);
	if (f == NULL || cx_format(f->id, sizeof f->id, "%s", err, named.row->id) < 0) {
		free(f);
		return cx_fail(err, ENOMEM, "follow a log");
	}
	f->gw = req->gateway;
	f->req = req;
	f->offset = offset;
	req->owner = f;
	req->gone = on_gone;
	f->body = (struct cx_pieces){ .read = read_text, .closed = on_closed, .quiet = true };
	f->call.done = on_log;
	f->end.done = on_end;
	look_in(f, 0);
	return 0;
}

void cx_handle_logs_follow(struct cx_request *req)
{
	struct cx_err err;

	if (start(req, &err) < 0)
		cx_request_fail(req, &err);
}
