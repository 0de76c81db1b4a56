/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/errors.h"
#include "api/exposedoor.h"
#include "api/proxy_inner.h"

/* ---- our own answers ------------------------------------------------------------------------- */

static const struct {
	enum cx_kind kind;
	unsigned status;
	const char *reason;
} statuses[] = {
	{ CX_INVALID, 400, "Bad Request" },
	{ CX_NOT_FOUND, 404, "Not Found" },
	{ CX_CONFLICT, 409, "Conflict" },
	{ CX_LIMIT, 431, "Request Header Fields Too Large" },
	{ CX_BUSY, 503, "Service Unavailable" },
	{ CX_TIMEOUT, 504, "Gateway Timeout" },
	{ CX_UNAVAILABLE, 502, "Bad Gateway" }, /* and whatever else goes wrong behind us */
};

static size_t status_of(const struct cx_err *err)
{
	size_t i = 0;

	while (i < CX_LEN(statuses) - 1 && statuses[i].kind != err->kind)
		i++;
	return i;
}

static int write_failure(const struct cx_err *why, bool no_body, struct cx_buf *out,
			 struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 8192 };
	char id[CX_REQUEST_ID_MAX + 1], head[256];
	size_t i = status_of(why);

	cx_request_id_choose(NULL, id);
	if (cx_error_body(why, id, &json, err) < 0)
		return -err->errnum;
	(void)snprintf(head, sizeof head,
		       "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		       "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
		       statuses[i].status, statuses[i].reason, json.len);
	if (cx_buf_add(out, head, strlen(head), err) < 0)
		return -err->errnum;
	return no_body ? 0 : cx_buf_add(out, json.p, json.len, err);
}

void cx_proxy_http_fail(struct cx_proxy *p, const struct cx_err *why)
{
	struct cx_err err;

	if (p->state >= CX_PROXY_STREAM || p->down.kept.len > 0 ||
	    write_failure(why, p->no_body, &p->down.kept, &err) < 0) {
		cx_proxy_cut(p);
		return;
	}
	p->state = CX_PROXY_SAYING;
	p->up.open = p->down.open = false;
	p->up.kept.len = p->up.sent = 0;
	p->down.framing = cx_framing_of(CX_FRAMED_EMPTY, 0);
}

static void refuse(struct cx_proxy *p, enum cx_kind kind, const char *text)
{
	struct cx_err err;

	(void)cx_refuse(&err, kind, "%s", text);
	cx_proxy_http_fail(p, &err);
}

/* ---- the request ----------------------------------------------------------------------------- */

/* What has come of a body behind its head. */
static int take_behind(struct cx_proxy *p, struct cx_lane *lane, size_t head, struct cx_err *err)
{
	size_t n = cx_framing_take(&lane->framing, p->head.p + head, p->head.len - head);

	if (lane->framing.broken)
		return cx_refuse(err, CX_INVALID, "a body in chunks that are none");
	return cx_buf_add(&lane->kept, p->head.p + head, n, err);
}

static int find_exposure(struct cx_proxy *p, const struct cx_head *head, struct cx_err *err)
{
	struct cx_exposure *on = cx_exposedoor_find(p->all->gw, head->host);

	if (on == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "no exposed port has the name '%.*s'",
				 (int)(head->host.len < 80 ? head->host.len : 80), head->host.p);
	return cx_proxy_enter(p, on, err);
}

static int take_request(struct cx_proxy *p, size_t end, struct cx_err *err)
{
	struct cx_head head;

	if (cx_head_parse_request(p->head.p, end, &head, err) < 0)
		return -err->errnum;
	p->old = head.old;
	p->no_body = head.method.len == 4 && memcmp(head.method.p, "HEAD", 4) == 0;
	p->upgrade = head.upgrade.len > 0;
	p->up.framing = head.framing;
	if ((p->on == NULL && find_exposure(p, &head, err) < 0) ||
	    cx_head_write_request(&head, p->from, p->front != NULL ? "https" : "http", &p->up.kept,
				  err) < 0 ||
	    take_behind(p, &p->up, end, err) < 0)
		return -err->errnum;
	p->up.open = !p->up.framing.done;
	return 0;
}

void cx_proxy_http_request(struct cx_proxy *p)
{
	int r = cx_proxy_collect(p, &p->client);
	size_t end = cx_head_end(p->head.p, p->head.len);
	struct cx_err err;

	if (end == 0 && p->head.len > CX_HEAD_MAX)
		refuse(p, CX_LIMIT, "the head of the request is too large");
	else if (end == 0 && r < 0)
		cx_proxy_cut(p);
	if (end == 0)
		return;
	if (take_request(p, end, &err) < 0)
		cx_proxy_http_fail(p, &err);
	else
		cx_proxy_connect(p);
	cx_buf_free(&p->head);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* What is wrong with an answer is never the client's fault. */
static void blame(struct cx_proxy *p, const struct cx_err *why)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the server inside the sandbox answers wrongly: %s",
			why->msg);
	cx_proxy_http_fail(p, &err);
}

static int take_answer(struct cx_proxy *p, size_t end, struct cx_err *err)
{
	struct cx_head head;
	bool upgraded;

	if (cx_head_parse_answer(p->head.p, end, p->no_body, &head, err) < 0)
		return -err->errnum;
	upgraded = head.status == 101;
	if (upgraded && (!p->upgrade || head.upgrade.len == 0))
		return cx_refuse(err, CX_INVALID, "an upgrade that nobody asked for");
	if (!upgraded)
		head.upgrade.len = 0; /* an offer, which concerns one connection */
	if (p->old && head.framing.kind == CX_FRAMED_CHUNKS)
		return cx_refuse(err, CX_INVALID, "chunks for a client of HTTP/1.0");
	if ((head.status >= 200 || upgraded || !p->old) &&
	    cx_head_write_answer(&head, &p->down.kept, err) < 0)
		return -err->errnum;
	if (upgraded) {
		cx_proxy_become_raw(p);
	} else if (head.status >= 200) {
		p->state = CX_PROXY_STREAM;
		p->down.framing = head.framing;
	} else {
		cx_buf_drop_front(&p->head, end);
		return 0;
	}
	if (take_behind(p, &p->down, end, err) < 0)
		return -err->errnum;
	p->down.open = !p->down.framing.done;
	cx_buf_free(&p->head);
	return 0;
}

void cx_proxy_http_answer(struct cx_proxy *p)
{
	int r = cx_proxy_collect(p, &p->inside);
	struct cx_err err;
	size_t end;

	while (!p->over && p->state == CX_PROXY_ANSWER &&
	       (end = cx_head_end(p->head.p, p->head.len)) > 0)
		if (take_answer(p, end, &err) < 0)
			blame(p, &err);
	if (p->over || p->state != CX_PROXY_ANSWER)
		return;
	if (p->head.len > CX_HEAD_MAX)
		refuse(p, CX_UNAVAILABLE,
		       "the head of the answer of the server inside the sandbox is too large");
	else if (r < 0)
		refuse(p, CX_UNAVAILABLE,
		       "the server inside the sandbox closed the connection without an answer");
}
