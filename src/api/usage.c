/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "api/jsonw.h"

/* What the kernel counts, of one sandbox or of all that live. */
enum {
	TOGETHER = 64, /* questions to caissond at once */
	ALL_MAX = 20000,
	ANSWER_MAX = 16 << 20,
};

static void write_counts(struct cx_jsonw *w, const struct cx_msg_used *used)
{
	cx_jsonw_int(w, "cpu_us", (int64_t)used->cpu_us);
	cx_jsonw_int(w, "memory_bytes", (int64_t)used->memory_bytes);
	cx_jsonw_int(w, "memory_peak_bytes", (int64_t)used->memory_peak_bytes);
	cx_jsonw_int(w, "pids", used->pids);
	cx_jsonw_int(w, "oom_kills", used->oom_kills);
}

/* ---- one ------------------------------------------------------------------------------------ */

struct usage {
	struct cx_engine_call call;
	struct cx_request *req;
	char id[CX_SANDBOX_ID_MAX + 1];
};

static void on_used(struct cx_engine_call *call, struct cx_engine_answer *answer,
		    const struct cx_err *err)
{
	struct usage *usage = cx_container_of(call, struct usage, call);
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };

	if (err != NULL) {
		cx_request_fail(usage->req, err);
	} else {
		cx_jsonw_object(&w, NULL);
		cx_jsonw_text(&w, "id", usage->id);
		write_counts(&w, &answer->used);
		cx_jsonw_end(&w);
		cx_request_answer_json(usage->req, &w);
	}
	free(usage);
}

static int start_usage(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	cx_autofree struct usage *usage = calloc(1, sizeof *usage);

	if (usage == NULL)
		return cx_fail(err, ENOMEM, "request");
	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL || named.row->engine_id == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox %s: it uses nothing",
				 named.box == NULL ? "has ended" : "has not begun");
	usage->req = req;
	usage->call.done = on_used;
	(void)snprintf(usage->id, sizeof usage->id, "%s", named.row->id);
	if (cx_engine_usage(req->gateway->engine, named.row->engine_id, &usage->call, err) < 0)
		return -err->errnum;
	(void)cx_take_ptr(&usage);
	return 0;
}

void cx_handle_usage(struct cx_request *req)
{
	struct cx_err err;

	if (start_usage(req, &err) < 0)
		cx_request_fail(req, &err);
}

/* ---- all ------------------------------------------------------------------------------------ */

struct all;

struct question {
	struct cx_engine_call call;
	struct all *all;
	size_t about; /* where in ids */
};

struct all {
	struct cx_request *req;
	struct cx_buf ids; /* strv: our id and caissond's in turn */
	size_t at;	   /* in ids: the next to ask for */
	unsigned open;	   /* questions without an answer */
	bool failed;	   /* then no more are asked */
	struct cx_err err;
	struct cx_buf json;
	struct cx_jsonw w;
	struct question questions[TOGETHER];
};

static int keep_ids(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	struct all *all = arg;

	if (row->engine_id == NULL || !cx_access_allows(all->req, row))
		return 0;
	if (cx_buf_add(&all->ids, row->id, strlen(row->id) + 1, err) < 0)
		return -err->errnum;
	return cx_buf_add(&all->ids, row->engine_id, strlen(row->engine_id) + 1, err);
}

static const char *after(const char *text)
{
	return text + strlen(text) + 1;
}

static void finish(struct all *all)
{
	cx_jsonw_end(&all->w);
	cx_jsonw_end(&all->w);
	if (all->failed) {
		cx_buf_free(&all->json);
		cx_request_fail(all->req, &all->err);
	} else {
		cx_request_answer_json(all->req, &all->w);
	}
	cx_buf_free(&all->ids);
	free(all);
}

static void ask_more(struct all *all);

/* One that has ended meanwhile is left out. */
static void on_one_used(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct question *question = cx_container_of(call, struct question, call);
	struct all *all = question->all;

	if (err == NULL) {
		cx_jsonw_object(&all->w, NULL);
		cx_jsonw_text(&all->w, "id", all->ids.p + question->about);
		cx_jsonw_int(&all->w, "at_ms", cx_wall_ms());
		write_counts(&all->w, &answer->used);
		cx_jsonw_end(&all->w);
	}
	question->all = NULL;
	all->open--;
	ask_more(all);
}

static void ask_more(struct all *all)
{
	struct cx_engine *engine = all->req->gateway->engine;

	for (size_t i = 0; i < TOGETHER && all->at < all->ids.len && !all->failed; i++) {
		struct question *question = &all->questions[i];
		const char *id = all->ids.p + all->at, *engine_id = after(id);

		if (question->all != NULL)
			continue;
		*question = (struct question){ .call.done = on_one_used, .about = all->at };
		all->at = (size_t)(after(engine_id) - all->ids.p);
		all->failed = cx_engine_usage(engine, engine_id, &question->call, &all->err) < 0;
		if (all->failed)
			break;
		question->all = all;
		all->open++;
	}
	if (all->open == 0)
		finish(all);
}

void cx_handle_usage_all(struct cx_request *req)
{
	struct cx_sandbox_filter filter = { .live_only = true, .limit = ALL_MAX };
	struct all *all = calloc(1, sizeof *all);
	struct cx_err err;

	if (all == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	all->req = req;
	all->ids.max = ALL_MAX * 2 * (CX_SANDBOX_ID_MAX + 1);
	all->json.max = ANSWER_MAX;
	all->w.out = &all->json;
	if (cx_store_sandbox_each(req->gateway->store, &filter, keep_ids, all, &err) < 0) {
		cx_buf_free(&all->ids);
		free(all);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&all->w, NULL);
	cx_jsonw_array(&all->w, "sandboxes");
	ask_more(all);
}
