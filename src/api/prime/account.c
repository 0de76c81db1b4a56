/* SPDX-License-Identifier: Apache-2.0 */
#include "api/accounts_store.h"
#include "api/gateway.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"
#include "base/str.h"

enum { ANSWER_MAX = 4 << 20, TEAMS = 100, TEAMS_MAX = 1000 };

static void write_user(struct cx_jsonw *w, const struct cx_user_row *user)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_object(w, "data");
	cx_jsonw_text(w, "id", user->id);
	cx_jsonw_text(w, "email", user->email);
	cx_jsonw_text(w, "name", user->name);
	cx_jsonw_text(w, "slug", user->name);
	cx_jsonw_object(w, "scope");
	cx_jsonw_end(w);
	cx_jsonw_text(w, "role", user->role);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

void cx_prime_whoami(struct cx_request *req)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (cx_store_user_find(req->gateway->store, req->caller.user, &user, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	write_user(&w, &user);
	cx_request_answer_json(req, &w);
}

struct page {
	struct cx_jsonw w;
	uint64_t offset, limit, total;
};

static int write_team(const struct cx_team_row *team, void *arg, struct cx_err *err)
{
	struct page *page = arg;
	uint64_t at = page->total++;

	(void)err;
	if (at < page->offset || at - page->offset >= page->limit)
		return 0;
	cx_jsonw_object(&page->w, NULL);
	cx_jsonw_text(&page->w, "teamId", team->id);
	cx_jsonw_text(&page->w, "name", team->name);
	cx_jsonw_text(&page->w, "slug", team->name);
	cx_jsonw_text(&page->w, "role", team->role);
	cx_jsonw_time(&page->w, "createdAt", team->created_ms);
	cx_jsonw_end(&page->w);
	return 0;
}

void cx_prime_teams(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct page page = { .w = { .out = &json }, .limit = TEAMS };
	struct cx_err err;

	cx_jsonw_object(&page.w, NULL);
	cx_jsonw_array(&page.w, "data");
	if (cx_request_query_u64(req, "offset", 0, INT32_MAX, &page.offset, &err) < 0 ||
	    cx_request_query_u64(req, "limit", 1, TEAMS_MAX, &page.limit, &err) < 0 ||
	    cx_store_team_each(req->gateway->store, req->caller.user, write_team, &page, &err) <
		    0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&page.w);
	cx_jsonw_int(&page.w, "total_count", (int64_t)page.total);
	cx_jsonw_int(&page.w, "offset", (int64_t)page.offset);
	cx_jsonw_int(&page.w, "limit", (int64_t)page.limit);
	cx_jsonw_end(&page.w);
	cx_request_answer_json(req, &page.w);
}
