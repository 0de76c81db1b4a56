/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/digest.h"
#include "api/flow.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/json.h"
#include "api/layerbuild.h"
#include "base/log.h"

/*
 * POST /images/verify: is the store what it says? Each blob of the images is hashed again. Each
 * layer is built again from its blob, as the same entries give the same bytes, and compared by a
 * worker with the one that sandboxes use; with "repair" it takes its place if it differs. A blob
 * can only come from outside again, so a damaged one is removed: the next pull or import brings it.
 */
enum { ITEMS_MAX = 100000, STEP = 1 << 20, LIST_MAX = 2 << 20, LINE_MAX_BYTES = 4096 };

enum kind { BLOB, LAYER };
static const char *const kind_names[] = { [BLOB] = "blob", [LAYER] = "layer" };

struct item {
	enum kind kind;
	uint8_t id[32];			   /* of the blob; the layer's diff id */
	uint8_t blob_id[32];		   /* that it is built from; the blob itself */
	char image[CX_IMAGE_NAME_MAX + 1]; /* one that has it */
	bool bad;
};

struct verify {
	struct cx_gateway *gw;
	struct cx_flow *flow;
	bool repair;
	struct item *items;
	size_t n, size, at;
	struct cx_timer timer; /* the next step; a large file takes many */
	int fd;
	struct cx_digest *digest;
	struct cx_layer_build build;
	struct cx_word word; /* of the comparison */
	struct cx_engine_call call;
	unsigned pending;
	struct cx_err call_err;
	struct cx_buf bad, repaired; /* elements of JSON arrays */
	struct cx_jsonw bad_list, repaired_list;
};

static void next_item(struct verify *v);

/* ---- memory and words ----------------------------------------------------------------------- */

static void free_verify(struct verify *v)
{
	cx_timer_clear(&v->timer);
	cx_engine_forget(&v->call);
	cx_word_forget(&v->word);
	if (v->build.gw != NULL)
		cx_layer_build_drop(&v->build);
	cx_digest_free(v->digest);
	cx_close(&v->fd);
	cx_buf_free(&v->bad);
	cx_buf_free(&v->repaired);
	free(v->items);
	free(v);
}

static void client_gone(void *arg)
{
	struct verify *v = arg;

	cx_flow_cut(v->flow);
	free_verify(v);
}

static void write_item(struct cx_jsonw *w, const struct item *item, const char *problem)
{
	cx_jsonw_text(w, "kind", kind_names[item->kind]);
	cx_image_present_id(w, "digest", item->id);
	cx_jsonw_text(w, "image", item->image);
	if (problem != NULL)
		cx_jsonw_text(w, "problem", problem);
}

static void say(struct verify *v, const char *status, const char *problem)
{
	CX_AUTO(cx_buf_free) struct cx_buf line = { .max = LINE_MAX_BYTES };
	struct cx_jsonw w = { .out = &line };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", status);
	write_item(&w, &v->items[v->at], problem);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, &err) == 0)
		cx_flow_line(v->flow, line.p, line.len, problem == NULL);
}

static void note(struct cx_jsonw *list, const struct item *item, const char *problem)
{
	cx_jsonw_object(list, NULL);
	write_item(list, item, problem);
	cx_jsonw_end(list);
}

static void found_bad(struct verify *v, const char *problem)
{
	struct item *item = &v->items[v->at];

	cx_log(CX_LOG_ERROR, "store damaged", "kind", kind_names[item->kind], "image", item->image,
	       "problem", problem, NULL);
	item->bad = true;
	say(v, "bad", problem);
	note(&v->bad_list, item, problem);
}

static void fail(struct verify *v, const struct cx_err *err)
{
	cx_flow_fail(v->flow, err);
	free_verify(v);
}

/* Its lists are whole documents by now; the arrays in the answer are their text. */
static int write_last(struct verify *v, struct cx_buf *line, struct cx_err *err)
{
	struct cx_jsonw w = { .out = line };

	cx_jsonw_end(&v->bad_list);
	cx_jsonw_end(&v->repaired_list);
	if (cx_jsonw_finish(&v->bad_list, err) < 0 || cx_jsonw_finish(&v->repaired_list, err) < 0 ||
	    cx_buf_add(&v->bad, "", 1, err) < 0 || cx_buf_add(&v->repaired, "", 1, err) < 0)
		return -err->errnum;
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", "done");
	cx_jsonw_int(&w, "checked", (int64_t)v->n);
	cx_jsonw_raw(&w, "bad", v->bad.p);
	cx_jsonw_raw(&w, "repaired", v->repaired.p);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

static void finish(struct verify *v)
{
	CX_AUTO(cx_buf_free) struct cx_buf line = { .max = 3 * LIST_MAX };
	struct cx_err err;

	if (write_last(v, &line, &err) < 0) {
		fail(v, &err);
		return;
	}
	cx_flow_last(v->flow, line.p, line.len);
	free_verify(v);
}

/* ---- one item ------------------------------------------------------------------------------- */

static void item_done(struct verify *v)
{
	cx_close(&v->fd);
	if (v->build.gw != NULL)
		cx_layer_build_drop(&v->build);
	v->build = (struct cx_layer_build){ 0 };
	v->at++;
	next_item(v);
}

/* An image may have been removed meanwhile, and what was only its own with it. */
static bool still_needed(struct verify *v)
{
	struct cx_err ignored;

	return cx_store_blob_used(v->gw->store, v->items[v->at].blob_id, &ignored) == 1;
}

static void blob_bad(struct verify *v, const char *problem)
{
	struct cx_err err;

	if (still_needed(v))
		found_bad(v, problem);
	if (v->repair && cx_blob_remove(&v->gw->blobs, v->items[v->at].id, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "damaged blob not removed", NULL);
	item_done(v);
}

static int hash_end(struct verify *v, struct cx_err *err)
{
	uint8_t is[32];

	if (cx_digest_get(v->digest, is, err) < 0)
		return -err->errnum;
	if (memcmp(is, v->items[v->at].id, 32) == 0)
		item_done(v);
	else
		blob_bad(v, "its bytes have another digest; pull or import the image again");
	return 0;
}

/* In steps: hashing a large one at once would make everybody else wait. */
static int hash_step(struct verify *v, struct cx_err *err)
{
	cx_autofree char *chunk = malloc(STEP);
	ssize_t n = chunk != NULL ? read(v->fd, chunk, STEP) : -1;

	if (chunk == NULL)
		return cx_fail(err, ENOMEM, "verify");
	if (n < 0) {
		blob_bad(v, "it cannot be read; look at the disk's health");
		return 0;
	}
	if (n == 0)
		return hash_end(v, err);
	cx_timer_set(v->gw->loop, &v->timer, 0);
	return cx_digest_add(v->digest, chunk, (size_t)n, err);
}

static void on_step(struct cx_timer *timer)
{
	struct verify *v = cx_container_of(timer, struct verify, timer);
	struct cx_err err;

	if (v->fd < 0)
		next_item(v);
	else if (hash_step(v, &err) < 0)
		fail(v, &err);
}

static int begin_blob(struct verify *v, struct cx_err *err)
{
	uint64_t size;

	if (cx_blob_open(&v->gw->blobs, v->items[v->at].id, &v->fd, &size, err) < 0) {
		if (err->kind != CX_NOT_FOUND)
			return -err->errnum;
		blob_bad(v, "it is missing; pull or import the image again");
		return 0;
	}
	cx_timer_set(v->gw->loop, &v->timer, 0);
	return cx_digest_reset(v->digest, err);
}

/* ---- layers: built again, compared, perhaps replaced ---------------------------------------- */

static void on_replaced(struct cx_layer_build *build, const struct cx_err *err)
{
	struct verify *v = cx_container_of(build, struct verify, build);

	if (err != NULL)
		cx_log_err(CX_LOG_ERROR, err, "layer not repaired", NULL);
	else
		note(&v->repaired_list, &v->items[v->at], NULL);
	item_done(v);
}

static void on_removed(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct verify *v = cx_container_of(call, struct verify, call);
	struct cx_err failed;

	(void)answer;
	v->build.done = on_replaced;
	if (err != NULL && err->kind != CX_NOT_FOUND)
		cx_log_err(CX_LOG_WARNING, err, "layer not repaired", NULL);
	else if (cx_layer_build_commit(&v->build, v->items[v->at].id, &failed) == 0)
		return;
	else
		cx_log_err(CX_LOG_ERROR, &failed, "layer not repaired", NULL);
	item_done(v);
}

static void layer_bad(struct verify *v, const char *problem)
{
	struct cx_err err;

	if (!still_needed(v)) {
		item_done(v);
		return;
	}
	found_bad(v, problem);
	v->call.done = on_removed;
	if (!v->repair)
		item_done(v);
	else if (cx_engine_layer_remove(v->gw->engine, v->items[v->at].id, &v->call, &err) < 0)
		fail(v, &err);
}

static void compared(struct verify *v)
{
	struct cx_report report = { 0 };
	struct cx_err err;
	int word;

	if (--v->pending > 0)
		return;
	word = cx_word_get(&v->word, &report, &err);
	if (word == 1 && v->call_err.errnum == 0)
		item_done(v);
	else if (v->call_err.errnum != 0 && v->call_err.kind == CX_NOT_FOUND)
		layer_bad(v, "it is missing");
	else if (word < 0 && err.kind == CX_CONFLICT)
		layer_bad(v, "it is not what its blob gives");
	else
		fail(v, v->call_err.errnum != 0 ? &v->call_err : &err);
}

static void on_checked(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct verify *v = cx_container_of(call, struct verify, call);

	(void)answer;
	if (err != NULL)
		v->call_err = *err;
	compared(v);
}

static void on_word(struct cx_word *word)
{
	compared(cx_container_of(word, struct verify, word));
}

static int compare(struct verify *v, struct cx_err *err)
{
	cx_autofd int report = -EBADF;

	v->pending = 2;
	v->call_err = (struct cx_err){ 0 };
	v->call.done = on_checked;
	v->word.heard = on_word;
	if (cx_word_open(v->gw->loop, &v->word, &report, err) < 0)
		return -err->errnum;
	return cx_engine_layer_check(v->gw->engine, v->build.token, v->items[v->at].id, report,
				     &v->call, err);
}

static void on_built(struct cx_layer_build *build, const struct cx_err *err)
{
	struct verify *v = cx_container_of(build, struct verify, build);
	struct cx_err failed;

	if (err != NULL)
		fail(v, err);
	else if (memcmp(build->workers.reports[0].diff_id, v->items[v->at].id, 32) != 0)
		layer_bad(v, "its blob has another diff id");
	else if (compare(v, &failed) < 0)
		fail(v, &failed);
}

static bool blob_is_bad(const struct verify *v, const uint8_t blob_id[32])
{
	for (size_t i = 0; i < v->n; i++)
		if (v->items[i].kind == BLOB && v->items[i].bad &&
		    memcmp(v->items[i].id, blob_id, 32) == 0)
			return true;
	return false;
}

static int begin_layer(struct verify *v, struct cx_err *err)
{
	const struct item *item = &v->items[v->at];
	uint64_t size;
	int fd = -EBADF;

	if (blob_is_bad(v, item->blob_id) || !still_needed(v)) {
		item_done(v); /* nothing to compare it with */
		return 0;
	}
	v->build.done = on_built;
	if (cx_blob_open(&v->gw->blobs, item->blob_id, &fd, &size, err) < 0)
		return -err->errnum;
	return cx_layer_build_start(v->gw, &v->build, &fd, err);
}

static void next_item(struct verify *v)
{
	struct cx_err err;
	int r;

	if (v->at == v->n) {
		finish(v);
		return;
	}
	say(v, "checking", NULL);
	r = v->items[v->at].kind == BLOB ? begin_blob(v, &err) : begin_layer(v, &err);
	if (r < 0)
		fail(v, &err);
}

/* ---- what there is to check ----------------------------------------------------------------- */

static int add_item(struct verify *v, enum kind kind, const uint8_t id[32],
		    const uint8_t blob_id[32], const char *image, struct cx_err *err)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->items[i].kind == kind && memcmp(v->items[i].id, id, 32) == 0)
			return 0;
	if (v->n == ITEMS_MAX)
		return cx_refuse(err, CX_LIMIT, "more than %d blobs and layers: name an image",
				 ITEMS_MAX);
	if (v->n == v->size) {
		size_t size = v->size > 0 ? 2 * v->size : 64;
		struct item *items = reallocarray(v->items, size, sizeof *items);

		if (items == NULL)
			return cx_fail(err, ENOMEM, "verify");
		v->items = items;
		v->size = size;
	}
	v->items[v->n] = (struct item){ .kind = kind };
	memcpy(v->items[v->n].id, id, 32);
	memcpy(v->items[v->n].blob_id, blob_id, 32);
	(void)snprintf(v->items[v->n++].image, sizeof v->items->image, "%s", image);
	return 0;
}

static int add_image(const struct cx_image_row *image, void *arg, struct cx_err *err)
{
	struct verify *v = arg;

	if (add_item(v, BLOB, image->manifest_id, image->manifest_id, image->name, err) < 0 ||
	    add_item(v, BLOB, image->config_id, image->config_id, image->name, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < image->nlayers; i++) {
		const struct cx_layer_row *layer = &image->layers[i];

		if (add_item(v, BLOB, layer->blob_id, layer->blob_id, image->name, err) < 0 ||
		    add_item(v, LAYER, layer->diff_id, layer->blob_id, image->name, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int add_named(struct verify *v, const char *given, struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };

	if (cx_image_find(v->gw, given, "image", &image, err) < 0)
		return -err->errnum;
	return add_image(&image, v, err);
}

static int start(struct cx_request *req, struct verify *v, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *name = NULL;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "image", CX_IMAGE_NAME_MAX, &name, err) < 0 ||
	    cx_json_bool(doc, "repair", &v->repair, err) < 0)
		return -err->errnum;
	if ((name != NULL ? add_named(v, name, err)
			  : cx_store_image_each(v->gw->store, add_image, v, err)) < 0 ||
	    cx_digest_new(&v->digest, err) < 0)
		return -err->errnum;
	cx_jsonw_array(&v->bad_list, NULL);
	cx_jsonw_array(&v->repaired_list, NULL);
	return cx_flow_lines(req, client_gone, v, &v->flow, err);
}

void cx_handle_image_verify(struct cx_request *req)
{
	struct verify *v = calloc(1, sizeof *v);
	struct cx_err err;

	if (v == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	*v = (struct verify){ .gw = req->gateway,
			      .fd = -EBADF,
			      .timer = { .fire = on_step },
			      .bad = { .max = LIST_MAX },
			      .repaired = { .max = LIST_MAX } };
	v->bad_list.out = &v->bad;
	v->repaired_list.out = &v->repaired;
	if (start(req, v, &err) < 0) {
		cx_request_fail(req, &err);
		free_verify(v);
		return;
	}
	cx_timer_set(v->gw->loop, &v->timer, 0); /* nothing is told inside of the handler */
}
