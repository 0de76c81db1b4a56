/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/detached.h"
#include "api/handlers.h"
#include "base/base64.h"
#include "base/str.h"

/*
 * What a command wrote, in pages. While its sandbox lives the agent is asked, which has more; then
 * the record. When nothing is there yet the agent keeps the question for a while; it knows of the
 * command's end a little before there is a record of it.
 */
/* For an agent that is just being reached again, looked for every LOOK_MS. */
enum { PATIENCE_MS = 10000, LOOK_MS = 100 };
enum { PAGE_MAX = 65536, ANSWER_MAX = 6 * PAGE_MAX + 4096 };

struct page { /* freed when it is answered */
	struct cx_request *req;
	char sandbox[CX_SANDBOX_ID_MAX + 1], id[CX_EXEC_KEY_MAX + 1];
	bool of_stderr, as_base64;
	uint64_t offset;
	uint64_t until_ms; /* cx_now_ms() */
	bool ended;	   /* before it was looked at: nothing more will come */
	bool in_vain;	   /* the agent was asked */
	struct cx_call call;
	struct cx_detached_waiter waiter;
	struct cx_timer timer;
};

static struct cx_request *end_page(struct page *page)
{
	struct cx_request *req = page->req;

	cx_timer_clear(&page->timer);
	cx_call_forget(&page->call);
	cx_detached_unwait(&page->waiter);
	req->gone = NULL;
	req->owner = NULL;
	free(page);
	return req;
}

static void fail(struct page *page, const struct cx_err *err)
{
	cx_request_fail(end_page(page), err);
}

static void write_data(struct cx_jsonw *w, const struct page *page, const char *p, size_t len)
{
	char text[CX_BASE64_SIZE(PAGE_MAX)];

	if (!page->as_base64) {
		cx_jsonw_bytes(w, "data", p, len);
		return;
	}
	cx_base64_encode(p, len, text);
	cx_jsonw_text(w, "data", text);
}

static void give(struct page *page, uint64_t offset, const char *p, size_t len, uint64_t end)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "stream", page->of_stderr ? "stderr" : "stdout");
	cx_jsonw_int(&w, "offset", (int64_t)(offset & INT64_MAX));
	cx_jsonw_int(&w, "lost_bytes",
		     offset > page->offset ? (int64_t)((offset - page->offset) & INT64_MAX) : 0);
	cx_jsonw_int(&w, "next_offset", (int64_t)((offset + len) & INT64_MAX));
	cx_jsonw_int(&w, "end_offset", (int64_t)(end & INT64_MAX));
	cx_jsonw_bool(&w, "ended", page->ended);
	write_data(&w, page, p, len);
	cx_jsonw_end(&w);
	cx_request_answer_json(end_page(page), &w);
}

static void give_record(struct page *page, const struct cx_exec_row *row)
{
	const struct cx_excerpt *excerpt = page->of_stderr ? &row->err : &row->out;
	uint64_t offset = page->offset;
	const char *p;
	size_t len;

	cx_excerpt_read(excerpt, &offset, &p, &len);
	page->ended = true;
	give(page, offset, p, len < PAGE_MAX ? len : PAGE_MAX, excerpt->bytes);
}

static void look(struct page *page);

static void look_again(struct cx_timer *timer)
{
	struct page *page = cx_container_of(timer, struct page, timer);

	cx_detached_unwait(&page->waiter);
	look(page);
}

static void look_later(struct page *page, uint64_t ms)
{
	page->timer.fire = look_again;
	cx_timer_set(page->req->gateway->loop, &page->timer, ms);
}

static void on_end(struct cx_detached_waiter *waiter, const struct cx_exec_row *row,
		   const struct cx_err *err)
{
	(void)row;
	(void)err;
	look_later(cx_container_of(waiter, struct page, waiter), 0);
}

/* 0: not at all. */
static uint64_t may_wait_ms(const struct page *page)
{
	uint64_t now = cx_now_ms();

	return !page->ended && now < page->until_ms ? page->until_ms - now : 0;
}

static int find(struct page *page, struct cx_exec_row *row, struct cx_detached **ret_one,
		struct cx_err *err)
{
	return cx_detached_find(page->req->gateway, page->sandbox, page->id, row, ret_one, err);
}

/* Nothing more will come, says the agent; if it is not true that takes no longer than asked for. */
static void wait_for_end(struct page *page)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_detached *one = NULL;
	struct cx_err ignored;

	look_later(page, may_wait_ms(page));
	page->waiter = (struct cx_detached_waiter){ .done = on_end, .for_end = true };
	if (find(page, &row, &one, &ignored) == 0)
		cx_detached_wait(one, &page->waiter);
	else
		look_later(page, 0);
}

static void on_output(struct cx_call *call, const struct cx_answer *answer,
		      const struct cx_err *err)
{
	struct page *page = cx_container_of(call, struct page, call);

	page->in_vain = err != NULL; /* it knows no more of it, or is just gone */
	if (page->in_vain)
		look(page);
	else if (answer->log.data.len == 0 && may_wait_ms(page) > 0)
		wait_for_end(page);
	else
		give(page, answer->log.offset, answer->log.data.p, answer->log.data.len,
		     answer->log.end);
}

static bool ask_agent(struct page *page)
{
	struct cx_box *box = cx_box_find(page->req->gateway, page->sandbox);
	struct cx_session *session;
	struct cx_err err;

	session = box != NULL ? cx_box_agent(box, &err) : NULL;
	page->call.done = on_output;
	return session != NULL &&
	       cx_session_exec_output(session, page->id, page->of_stderr, page->offset, PAGE_MAX,
				      (uint32_t)may_wait_ms(page), &page->call, &err) == 0;
}

static void look(struct page *page)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_detached *one = NULL;
	const struct cx_exec_row *known = &row;
	struct cx_err err;

	if (find(page, &row, &one, &err) < 0) {
		fail(page, &err);
		return;
	}
	if (one != NULL)
		known = cx_detached_row(one);
	page->ended = known->ended_ms > 0;
	if (!page->in_vain && ask_agent(page))
		return;
	if (page->ended)
		give_record(page, known);
	else if (cx_now_ms() < page->until_ms + PATIENCE_MS) {
		page->in_vain = false;
		look_later(page, LOOK_MS);
	} else {
		(void)cx_refuse(&err, CX_UNAVAILABLE, "the sandbox does not answer; try again");
		fail(page, &err);
	}
}

/* ---- the request ----------------------------------------------------------------------------- */

static void on_gone(struct cx_request *req)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the client has gone");
	fail(req->owner, &err);
}

/* One of two words; NULL is the first. */
static int choose(const struct cx_request *req, const char *name, const char *const words[2],
		  bool *ret, struct cx_err *err)
{
	const char *word = cx_request_query(req, name);

	*ret = word != NULL && strcmp(word, words[1]) == 0;
	if (word == NULL || *ret || strcmp(word, words[0]) == 0)
		return 0;
	return cx_refuse(err, CX_INVALID, "'%s' is '%s' or '%s'", name, words[0], words[1]);
}

static int parse(struct cx_request *req, struct page *page, struct cx_err *err)
{
	static const char *const streams[] = { "stdout", "stderr" };
	static const char *const encodings[] = { "text", "base64" };
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	uint64_t seconds = 0;

	if (cx_access_named(req, req->param, &named, err) < 0 ||
	    choose(req, "stream", streams, &page->of_stderr, err) < 0 ||
	    choose(req, "encoding", encodings, &page->as_base64, err) < 0 ||
	    cx_request_query_u64(req, "offset", 0, INT64_MAX, &page->offset, err) < 0 ||
	    cx_request_query_u64(req, "wait", 0, CX_EXEC_WAIT_MAX, &seconds, err) < 0 ||
	    cx_format(page->sandbox, sizeof page->sandbox, "%s", err, named.row->id) < 0)
		return -err->errnum;
	if (strlen(cx_request_second(req)) > CX_EXEC_KEY_MAX)
		return cx_refuse(err, CX_NOT_FOUND, "the sandbox has no such command");
	page->until_ms = cx_now_ms() + seconds * 1000;
	return cx_format(page->id, sizeof page->id, "%s", err, cx_request_second(req));
}

static int start(struct cx_request *req, struct cx_err *err)
{
	struct page *page = calloc(1, sizeof *page);

	if (page == NULL)
		return cx_fail(err, ENOMEM, "request");
	page->req = req;
	if (parse(req, page, err) < 0) {
		free(page);
		return -err->errnum;
	}
	req->owner = page;
	req->gone = on_gone;
	look(page);
	return 0;
}

void cx_handle_exec_output(struct cx_request *req)
{
	struct cx_err err;

	if (start(req, &err) < 0)
		cx_request_fail(req, &err);
}
