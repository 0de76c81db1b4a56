/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/detached.h"
#include "api/handlers.h"
#include "base/base64.h"
#include "base/str.h"

/*
 * What a command wrote, in pages. While its sandbox lives the agent is asked, which has more; then
 * the record. When nothing is there yet a page waits a while for it.
 */
/* For an agent that is just being reached again. */
enum { PATIENCE_MS = 10000 };
enum { PAGE_MAX = 65536, LOOK_MS = 100, ANSWER_MAX = 6 * PAGE_MAX + 4096 };

struct page { /* freed when it is answered */
	struct cx_request *req;
	char sandbox[CX_SANDBOX_ID_MAX + 1], id[CX_EXEC_KEY_MAX + 1];
	bool of_stderr, as_base64;
	uint64_t offset;
	uint64_t until_ms; /* cx_now_ms() */
	bool ended;	   /* before it was looked at: nothing more will come */
	bool in_vain;	   /* the agent was asked */
	struct cx_call call;
	struct cx_timer timer;
};

static struct cx_request *end_page(struct page *page)
{
	struct cx_request *req = page->req;

	cx_timer_clear(&page->timer);
	cx_call_forget(&page->call);
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
	look(cx_container_of(timer, struct page, timer));
}

static void look_later(struct page *page)
{
	page->timer.fire = look_again;
	cx_timer_set(page->req->gateway->loop, &page->timer, LOOK_MS);
}

static bool may_wait(const struct page *page)
{
	return !page->ended && cx_now_ms() < page->until_ms;
}

static void on_output(struct cx_call *call, const struct cx_answer *answer,
		      const struct cx_err *err)
{
	struct page *page = cx_container_of(call, struct page, call);

	page->in_vain = err != NULL; /* it knows no more of it, or is just gone */
	if (page->in_vain)
		look(page);
	else if (answer->log.data.len == 0 && may_wait(page))
		look_later(page);
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
				      &page->call, &err) == 0;
}

static void look(struct page *page)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_detached *one = NULL;
	struct cx_err err;
	int found = cx_detached_find(page->req->gateway, page->sandbox, page->id, &row, &one, &err);

	page->ended = found == 1;
	if (found < 0)
		fail(page, &err);
	else if (!page->in_vain && ask_agent(page))
		return;
	else if (found == 1)
		give_record(page, &row);
	else if (cx_now_ms() < page->until_ms + PATIENCE_MS) {
		page->in_vain = false;
		look_later(page);
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
