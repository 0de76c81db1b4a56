/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/pull.h"
#include "api/sweep.h"
#include "base/log.h"

/*
 * POST /images/prune: with "all", images that no live sandbox was made from lose their names; then
 * everything goes that no image has, and the downloads that nobody is waiting for.
 */
enum { NAMES_MAX = 16 << 20 };

struct prune {
	struct cx_request *req;
	struct cx_sweep_waiter waiter;
	struct cx_buf names; /* strv: what was removed */
	uint64_t bytes;	     /* of downloads */
};

static void answer(struct cx_sweep_waiter *waiter, uint64_t bytes)
{
	struct prune *prune = cx_container_of(waiter, struct prune, waiter);
	struct cx_str names = { .p = prune->names.p, .len = (uint32_t)prune->names.len };
	struct cx_buf json = { .max = 2 * NAMES_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "removed");
	CX_STRV_FOREACH (name, names) {
		cx_jsonw_text(&w, NULL, name);
	}
	cx_jsonw_end(&w);
	cx_jsonw_int(&w, "reclaimedBytes", (int64_t)((bytes + prune->bytes) & INT64_MAX));
	cx_jsonw_end(&w);
	cx_request_answer_json(prune->req, &w);
	cx_buf_free(&prune->names);
	free(prune);
}

/* Only collects: the list must not change under its reader. */
static int collect(const struct cx_image_row *image, void *arg, struct cx_err *err)
{
	struct prune *prune = arg;
	int64_t users = 0;

	if (cx_store_image_users(prune->req->gateway->store, image->name, &users, err) < 0)
		return -err->errnum;
	return users > 0 ? 0 : cx_buf_add(&prune->names, image->name, strlen(image->name) + 1, err);
}

static int remove_all(struct prune *prune, struct cx_err *err)
{
	struct cx_store *store = prune->req->gateway->store;
	struct cx_str names;

	if (cx_store_image_each(store, collect, prune, err) < 0)
		return -err->errnum;
	names = cx_str_of_buf(&prune->names);
	CX_STRV_FOREACH (name, names) {
		if (cx_store_image_remove(store, name, err) < 0)
			return -err->errnum;
		cx_log(CX_LOG_INFO, "image removed", "name", name, NULL);
	}
	return 0;
}

/* What a pull that failed has left for the next one. */
static int give_up(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *err)
{
	struct prune *prune = arg;

	(void)err;
	if (!cx_pull_is_loading(prune->req->gateway, id)) {
		cx_blob_give_up(&prune->req->gateway->blobs, id);
		prune->bytes += size;
	}
	return 0;
}

static int start(struct prune *prune, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const struct cx_buf *body = &prune->req->body;
	bool all = false;

	if (cx_json_parse_object(body->p, body->len, &doc, err) < 0 ||
	    cx_json_bool(doc, "all", &all, err) < 0)
		return -err->errnum;
	if (all && remove_all(prune, err) < 0)
		return -err->errnum;
	return cx_blobs_each_partial(&prune->req->gateway->blobs, give_up, prune, err);
}

void cx_handle_image_prune(struct cx_request *req)
{
	struct prune *prune = calloc(1, sizeof *prune);
	struct cx_err err;

	if (prune == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	prune->req = req;
	prune->names.max = NAMES_MAX;
	prune->waiter.done = answer;
	if (start(prune, &err) == 0) {
		cx_sweep_wait(req->gateway, &prune->waiter);
		return;
	}
	cx_request_fail(req, &err);
	cx_buf_free(&prune->names);
	free(prune);
}
