/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"

/* How sandboxes are, for clients that wait and clients that want to know what went wrong. */
enum { BATCH_MAX = 100, ANSWER_MAX = 4 << 20 };

void cx_prime_error_context(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", named.row->status);
	cx_jsonw_text(&w, "errorType", named.row->error_type);
	cx_jsonw_text(&w, "errorMessage", named.row->error_message);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

/* ---- many at once --------------------------------------------------------------------------- */

static void write_status(struct cx_jsonw *w, const struct cx_sandbox_row *row)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "sandbox_id", row->id);
	cx_jsonw_text(w, "status", row->status);
	cx_jsonw_text(w, "error_type", row->error_type);
	cx_jsonw_text(w, "error_message", row->error_message);
	cx_jsonw_null(w, "pending_image_build_id");
	cx_jsonw_end(w);
}

/* Each id comes in one of the two lists, under the name by which it was asked for. */
static void write_statuses(struct cx_jsonw *w, struct cx_request *req, struct cx_str ids,
			   bool known)
{
	CX_STRV_FOREACH (id, ids) {
		CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
		struct cx_err err;
		bool found = cx_access_named(req, id, &named, &err) == 0 &&
			     strcmp(named.row->id, id) == 0;

		if (found != known)
			continue;
		if (found) {
			write_status(w, named.row);
			continue;
		}
		cx_jsonw_object(w, NULL);
		cx_jsonw_text(w, "sandbox_id", id);
		cx_jsonw_text(w, "code", "NOT_FOUND");
		cx_jsonw_text(w, "message", "no sandbox of yours has this id");
		cx_jsonw_end(w);
	}
}

static bool has_twice(struct cx_str ids)
{
	CX_STRV_FOREACH (id, ids) {
		unsigned times = 0;

		CX_STRV_FOREACH (other, ids) {
			times += strcmp(id, other) == 0;
		}
		if (times > 1)
			return true;
	}
	return false;
}

static int read_ids(const struct cx_request *req, struct cx_buf *ret, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_str ids;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_strv(doc, "sandbox_ids", ret, err) < 0)
		return -err->errnum;
	ids = (struct cx_str){ .p = ret->p, .len = (uint32_t)ret->len };
	if (cx_strv_count(ids) < 1 || cx_strv_count(ids) > BATCH_MAX || has_twice(ids))
		return cx_refuse(err, CX_INVALID,
				 "'sandbox_ids' must have between 1 and %d ids, each once",
				 BATCH_MAX);
	return 0;
}

void cx_prime_statuses(struct cx_request *req)
{
	CX_AUTO(cx_buf_free) struct cx_buf list = { .max = 65536 };
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_str ids;
	struct cx_err err;

	if (read_ids(req, &list, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	ids = cx_str_of_buf(&list);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "statuses");
	write_statuses(&w, req, ids, true);
	cx_jsonw_end(&w);
	cx_jsonw_array(&w, "errors");
	write_statuses(&w, req, ids, false);
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}
