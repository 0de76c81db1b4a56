/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/present.h"
#include "api/prime/token.h"
#include "base/str.h"

enum { ANSWER_MAX = 64 << 20, PER_PAGE = 50, PER_PAGE_MAX = 1000, IDS_MAX = 1000 };

static void answer_row(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_present_sandbox(&w, req->gateway, row, cx_request_agent(req));
	cx_request_answer_json(req, &w);
}

static void answer_created(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_present_open(&w, req->gateway, row, cx_request_agent(req));
	if (cx_prime_takes_token(req))
		cx_prime_write_token(&w, "gatewayAuth", req, row->id);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

/* ---- create --------------------------------------------------------------------------------- */

struct create { /* a request that waits for its sandbox */
	struct cx_box_waiter waiter;
	struct cx_request *req;
};

static void on_running(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		       const struct cx_err *err)
{
	struct create *create = cx_container_of(waiter, struct create, waiter);

	if (err == NULL) {
		cx_request_about(create->req, row->id);
		answer_created(create->req, row);
	} else if (err->kind == CX_NOT_FOUND) /* what is missing is inside: a user, a program */
		cx_request_fail_as(create->req, 400, err);
	else
		cx_request_fail(create->req, err);
	free(create);
}

/* The same key means the same sandbox, whether it runs, starts or has ended. 1: answered. */
static int repeat(struct cx_request *req, const char *key, struct create *create,
		  struct cx_err *err)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct cx_box *box = cx_box_find_key(req->gateway, req->caller.user, key);
	int found;

	if (box != NULL && cx_box_row(box)->started_ms == 0 && !cx_box_is_promised(box)) {
		cx_box_wait_running(box, &create->waiter);
		return 1;
	}
	found = cx_store_sandbox_by_key(req->gateway->store, req->caller.user, key, &row, err);
	if (found <= 0)
		return found;
	answer_created(req, &row);
	free(create);
	return 1;
}

static int start_create(struct cx_request *req, struct create *create, struct cx_err *err)
{
	CX_AUTO(cx_spec_clear) struct cx_spec spec = { 0 };
	int r;

	if (cx_spec_parse(req->body.p, req->body.len, &req->gateway->host, &spec, err) < 0)
		return -err->errnum;
	if (spec.row.idempotency_key != NULL) {
		r = repeat(req, spec.row.idempotency_key, create, err);
		if (r != 0)
			return r;
	}
	if (cx_access_own(req, &spec.row, err) < 0)
		return -err->errnum;
	return cx_box_create(req->gateway, &spec, &create->waiter, err);
}

void cx_handle_create(struct cx_request *req)
{
	struct create *create = calloc(1, sizeof *create);
	struct cx_err err;

	if (create == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	create->req = req;
	create->waiter.done = on_running;
	if (start_create(req, create, &err) < 0) {
		free(create);
		cx_request_fail(req, &err);
	}
}

/* ---- list and get --------------------------------------------------------------------------- */

void cx_handle_get(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_row(req, named.row);
}

static void add_label(const char *value, void *arg)
{
	cx_jsonw_text(arg, NULL, value);
}

static const char *const statuses[] = { "PENDING", "PROVISIONING", "RUNNING", "PAUSED",
					"ERROR",   "TERMINATED",   "TIMEOUT" };

static int query_status(struct cx_request *req, const char **ret, struct cx_err *err)
{
	const char *status = cx_request_query(req, "status");

	if (status == NULL || status[0] == '\0')
		return 0;
	for (size_t i = 0; i < CX_LEN(statuses); i++) {
		if (strcmp(statuses[i], status) == 0) {
			*ret = statuses[i];
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "'status' is '%.32s', which is no status of a sandbox",
			 status);
}

struct page {
	struct cx_sandbox_filter filter;
	struct cx_buf labels; /* what filter.labels points to */
	uint64_t page, per_page;
	int64_t total;
};

static int read_page(struct cx_request *req, struct page *page, struct cx_err *err)
{
	struct cx_jsonw w = { .out = &page->labels };
	const char *active = cx_request_query(req, "is_active");
	const char *team = cx_request_query(req, "team_id");
	const char *user = cx_request_query(req, "user_id");

	page->page = 1;
	page->per_page = PER_PAGE;
	if (cx_request_query_u64(req, "page", 1, INT32_MAX, &page->page, err) < 0 ||
	    cx_request_query_u64(req, "per_page", 1, PER_PAGE_MAX, &page->per_page, err) < 0 ||
	    query_status(req, &page->filter.status, err) < 0)
		return -err->errnum;
	if (active != NULL && strcmp(active, "true") != 0 && strcmp(active, "false") != 0)
		return cx_refuse(err, CX_INVALID, "'is_active' must be true or false");
	page->filter.live_only = active != NULL && strcmp(active, "true") == 0;
	page->filter.team_id = team != NULL && team[0] != '\0' ? team : NULL;
	page->filter.user_id = user != NULL && user[0] != '\0' ? user : NULL;
	page->filter.viewer = cx_access_viewer(req);
	if (page->filter.team_id != NULL && cx_access_team(req, team, false, err) < 0)
		return -err->errnum;
	page->filter.limit = (int64_t)page->per_page;
	page->filter.offset = (int64_t)((page->page - 1) * page->per_page);
	page->labels.max = CX_JSON_BODY_MAX;
	cx_jsonw_array(&w, NULL);
	cx_request_query_each(req, "labels", add_label, &w);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&page->labels, "", 1, err) < 0)
		return -err->errnum;
	page->filter.labels = page->labels.p;
	return 0;
}

struct listing {
	struct cx_jsonw w;
	const struct cx_gateway *gw;
	const char *agent;
};

static int list_one(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	struct listing *listing = arg;

	(void)err;
	cx_present_sandbox(&listing->w, listing->gw, row, listing->agent);
	return 0;
}

static int list_page(struct cx_request *req, struct page *page, struct cx_buf *json,
		     struct cx_err *err)
{
	struct listing listing = { .w = { .out = json },
				   .gw = req->gateway,
				   .agent = cx_request_agent(req) };
	struct cx_store *store = req->gateway->store;
	struct cx_jsonw *w = &listing.w;

	if (read_page(req, page, err) < 0 ||
	    cx_store_sandbox_count(store, &page->filter, &page->total, err) < 0)
		return -err->errnum;
	cx_jsonw_object(w, NULL);
	cx_jsonw_array(w, "sandboxes");
	if (cx_store_sandbox_each(store, &page->filter, list_one, &listing, err) < 0)
		return -err->errnum;
	cx_jsonw_end(w);
	cx_jsonw_int(w, "total", page->total);
	cx_jsonw_int(w, "page", (int64_t)page->page);
	cx_jsonw_int(w, "perPage", (int64_t)page->per_page);
	cx_jsonw_bool(w, "hasNext", (int64_t)(page->page * page->per_page) < page->total);
	cx_jsonw_end(w);
	return cx_jsonw_finish(w, err);
}

void cx_handle_list(struct cx_request *req)
{
	struct page page = { 0 };
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_err err;

	if (list_page(req, &page, &json, &err) == 0) {
		cx_request_answer(req, 200, &json);
	} else {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
	}
	cx_buf_free(&page.labels);
}

/* ---- delete --------------------------------------------------------------------------------- */

struct delete_one {
	struct cx_box_waiter waiter;
	struct cx_request *req;
};

static void answer_deleted(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "id", row->id);
	cx_jsonw_text(&w, "status", row->status);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static void on_gone(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		    const struct cx_err *err)
{
	struct delete_one *one = cx_container_of(waiter, struct delete_one, waiter);

	if (err == NULL)
		answer_deleted(one->req, row);
	else
		cx_request_fail(one->req, err);
	free(one);
}

void cx_handle_delete(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct delete_one *one;
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	if (named.box == NULL) {
		answer_deleted(req, named.row);
		return;
	}
	one = calloc(1, sizeof *one);
	if (one == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	one->req = req;
	one->waiter.done = on_gone;
	cx_box_destroy(named.box, &one->waiter);
}

struct delete_many {
	struct cx_request *req;
	unsigned pending;
	struct cx_buf succeeded, failed; /* strv: ids; ids and texts in turn */
	struct cx_err err;
};

struct delete_item {
	struct cx_box_waiter waiter;
	struct delete_many *many;
	char id[129];
};

static void write_deleted(struct cx_jsonw *w, const struct delete_many *many)
{
	struct cx_str good = { .p = many->succeeded.p, .len = (uint32_t)many->succeeded.len };
	struct cx_str bad = { .p = many->failed.p, .len = (uint32_t)many->failed.len };
	char message[96];
	bool is_id = true;

	cx_jsonw_object(w, NULL);
	cx_jsonw_array(w, "succeeded");
	CX_STRV_FOREACH (id, good) {
		cx_jsonw_text(w, NULL, id);
	}
	cx_jsonw_end(w);
	cx_jsonw_array(w, "failed");
	CX_STRV_FOREACH (text, bad) {
		if (is_id)
			cx_jsonw_object(w, NULL);
		cx_jsonw_text(w, is_id ? "sandbox_id" : "error", text);
		if (!is_id)
			cx_jsonw_end(w);
		is_id = !is_id;
	}
	cx_jsonw_end(w);
	(void)snprintf(message, sizeof message, "deleted %zu sandboxes, %zu failed",
		       cx_strv_count(good), cx_strv_count(bad) / 2);
	cx_jsonw_text(w, "message", message);
	cx_jsonw_end(w);
}

static void count_down(struct delete_many *many)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	if (--many->pending > 0)
		return;
	write_deleted(&w, many);
	cx_request_answer_json(many->req, &w);
	cx_buf_free(&many->succeeded);
	cx_buf_free(&many->failed);
	free(many);
}

static void note_result(struct delete_many *many, const char *id, const struct cx_err *err)
{
	char text[sizeof err->msg + 128];
	struct cx_err full;

	if (err == NULL) {
		(void)!cx_buf_add(&many->succeeded, id, strlen(id) + 1, &full);
		return;
	}
	(void)cx_err_render(err, text, sizeof text);
	if (cx_buf_add(&many->failed, id, strlen(id) + 1, &full) == 0)
		(void)!cx_buf_add(&many->failed, text, strlen(text) + 1, &full);
}

static void on_item_gone(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
			 const struct cx_err *err)
{
	struct delete_item *item = cx_container_of(waiter, struct delete_item, waiter);

	(void)row;
	note_result(item->many, item->id, err);
	count_down(item->many);
	free(item);
}

static void delete_id(struct delete_many *many, const char *id)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct delete_item *item;
	struct cx_err err;
	bool known = cx_access_named(many->req, id, &named, &err) == 0;

	if (named.box == NULL) {
		note_result(many, id, known ? NULL : &err);
		return;
	}
	item = calloc(1, sizeof *item);
	if (item == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		note_result(many, id, &err);
		return;
	}
	item->many = many;
	item->waiter.done = on_item_gone;
	(void)snprintf(item->id, sizeof item->id, "%s", id);
	many->pending++;
	cx_box_destroy(named.box, &item->waiter);
}

static int keep_id(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	return cx_buf_add(arg, row->id, strlen(row->id) + 1, err);
}

/*
 * Whose sandboxes are meant: the caller's own, unless a user is named, or all. More than one's own
 * needs an admin or, within a team, its owner.
 */
static int select_owner(struct cx_request *req, bool all, struct cx_sandbox_filter *filter,
			struct cx_err *err)
{
	bool own =
		!all && (filter->user_id == NULL || strcmp(filter->user_id, req->caller.user) == 0);

	filter->viewer = cx_access_viewer(req);
	if (filter->team_id != NULL && filter->team_id[0] == '\0')
		filter->team_id = NULL;
	if (filter->team_id != NULL && cx_access_team(req, filter->team_id, !own, err) < 0)
		return -err->errnum;
	if (!own && filter->team_id == NULL && !req->caller.admin)
		return cx_refuse(err, CX_DENIED,
				 "only an administrator may delete what others have; an owner of a "
				 "team gives 'team_id'");
	if (all)
		filter->user_id = NULL;
	else if (filter->user_id == NULL)
		filter->user_id = req->caller.user;
	return 0;
}

/* The labels as JSON text, of which there must be one. */
static int dump_labels(const struct json_t *doc, char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf check = { .max = 65536 };

	if (cx_json_strv(doc, "labels", &check, err) < 0)
		return -err->errnum;
	if (check.len == 0)
		return cx_refuse(err, CX_INVALID, "'labels' is empty");
	return cx_json_dump(doc, "labels", ret, err);
}

static int select_matching(struct cx_request *req, const struct json_t *doc, struct cx_buf *ids,
			   struct cx_err *err)
{
	struct cx_sandbox_filter filter = { .live_only = true };
	cx_autofree char *labels = NULL;
	bool all = false;

	if (cx_json_bool(doc, "all_users", &all, err) < 0 ||
	    cx_json_text(doc, "user_id", 128, &filter.user_id, err) < 0 ||
	    cx_json_text(doc, "team_id", 128, &filter.team_id, err) < 0)
		return -err->errnum;
	if (cx_json_member(doc, "labels") == NULL && !all && filter.user_id == NULL)
		return cx_refuse(err, CX_INVALID,
				 "nothing is named: give 'sandbox_ids' or 'labels'");
	if (select_owner(req, all, &filter, err) < 0 ||
	    (cx_json_member(doc, "labels") != NULL && dump_labels(doc, &labels, err) < 0))
		return -err->errnum;
	filter.labels = labels;
	return cx_store_sandbox_each(req->gateway->store, &filter, keep_id, ids, err);
}

/* Which of the two selectors is given; that the other and "everything" are not meant is the rule.
 */
static int select_ids(struct cx_request *req, const struct json_t *doc, struct cx_buf *ids,
		      struct cx_err *err)
{
	if (cx_json_member(doc, "sandbox_ids") == NULL)
		return select_matching(req, doc, ids, err);
	if (cx_json_member(doc, "labels") != NULL)
		return cx_refuse(err, CX_INVALID, "give 'sandbox_ids' or 'labels', not both");
	if (cx_json_strv(doc, "sandbox_ids", ids, err) < 0)
		return -err->errnum;
	return ids->len > 0 ? 0 : cx_refuse(err, CX_INVALID, "'sandbox_ids' is empty");
}

static int start_delete_many(struct cx_request *req, struct delete_many *many, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf ids = { .max = CX_JSON_BODY_MAX };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_str strv;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    select_ids(req, doc, &ids, err) < 0)
		return -err->errnum;
	strv = cx_str_of_buf(&ids);
	if (cx_strv_count(strv) > IDS_MAX && cx_json_member(doc, "sandbox_ids") != NULL)
		return cx_refuse(err, CX_INVALID, "'sandbox_ids' has more than %d entries",
				 IDS_MAX);
	CX_STRV_FOREACH (id, strv) {
		delete_id(many, id);
	}
	return 0;
}

void cx_handle_delete_many(struct cx_request *req)
{
	struct delete_many *many = calloc(1, sizeof *many);
	struct cx_err err;

	if (many == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	*many = (struct delete_many){ .req = req,
				      .pending = 1,
				      .succeeded.max = CX_JSON_BODY_MAX,
				      .failed.max = 8 * CX_JSON_BODY_MAX };
	if (start_delete_many(req, many, &err) < 0) {
		free(many);
		cx_request_fail(req, &err);
		return;
	}
	count_down(many);
}
