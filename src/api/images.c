/* SPDX-License-Identifier: Apache-2.0 */
#include "api/images.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/intake.h"
#include "api/present.h"
#include "base/log.h"
#include "base/str.h"

enum { ANSWER_MAX = 64 << 20 };

static void write_digest(struct cx_jsonw *w, const char *key, const uint8_t id[32])
{
	char text[7 + 64 + 1] = "sha256:";

	cx_to_hex(id, 32, text + 7);
	cx_jsonw_text(w, key, text);
}

void cx_image_present(struct cx_jsonw *w, const struct cx_image_row *image)
{
	char created[32];

	cx_present_time(image->created_ms, created);
	cx_jsonw_text(w, "name", image->name);
	write_digest(w, "id", image->config_id);
	write_digest(w, "digest", image->manifest_id);
	cx_jsonw_text(w, "mediaType", image->manifest_type);
	cx_jsonw_text(w, "platform", "linux/amd64");
	cx_jsonw_int(w, "sizeBytes", image->size_bytes);
	cx_jsonw_int(w, "uniqueBytes", image->unique_bytes);
	cx_jsonw_int(w, "sharedBytes", image->size_bytes - image->unique_bytes);
	cx_jsonw_text(w, "createdAt", created);
	cx_jsonw_array(w, "layers");
	for (unsigned i = 0; i < image->nlayers; i++) {
		const struct cx_layer_row *layer = &image->layers[i];

		cx_jsonw_object(w, NULL);
		write_digest(w, "diffId", layer->diff_id);
		write_digest(w, "digest", layer->blob_id);
		cx_jsonw_text(w, "mediaType", layer->media_type);
		cx_jsonw_int(w, "blobBytes", layer->blob_bytes);
		cx_jsonw_int(w, "sizeBytes", layer->size_bytes);
		cx_jsonw_end(w);
	}
	cx_jsonw_end(w);
	cx_jsonw_raw(w, "config", image->config);
}

static void answer(struct cx_request *req, struct cx_jsonw *w)
{
	struct cx_err err;

	if (cx_jsonw_finish(w, &err) == 0) {
		cx_request_answer(req, 200, w->out);
		return;
	}
	cx_buf_free(w->out);
	cx_request_fail(req, &err);
}

static int list_one(const struct cx_image_row *image, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	cx_image_present(arg, image);
	cx_jsonw_end(arg);
	return 0;
}

void cx_handle_image_list(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "images");
	if (cx_store_image_each(req->gateway->store, list_one, &w, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	answer(req, &w);
}

static int find(struct cx_request *req, struct cx_image_row *ret, struct cx_err *err)
{
	char name[CX_IMAGE_NAME_MAX + 1];

	if (cx_image_name(req->param, "name", req->gateway->host.registry, name, err) < 0)
		return -err->errnum;
	return cx_store_image_find(req->gateway->store, name, ret, err);
}

static int read_history(struct cx_gateway *gw, const struct cx_image_row *image, char **ret,
			struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf config = { .max = CX_OCI_DOCUMENT_MAX };

	if (cx_blob_read(&gw->blobs, image->config_id, &config, err) < 0)
		return -err->errnum;
	return cx_oci_history(&config, ret, err);
}

void cx_handle_image_get(struct cx_request *req)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	cx_autofree char *history = NULL;
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (find(req, &image, &err) < 0 || read_history(req->gateway, &image, &history, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_image_present(&w, &image);
	cx_jsonw_raw(&w, "history", history);
	cx_jsonw_end(&w);
	answer(req, &w);
}

static int remove_unused(struct cx_request *req, const char *name, struct cx_err *err)
{
	int64_t users = 0;

	if (cx_store_image_users(req->gateway->store, name, &users, err) < 0)
		return -err->errnum;
	if (users > 0)
		return cx_refuse(err, CX_CONFLICT,
				 "%lld sandboxes run from image '%.256s'; delete them first",
				 (long long)users, name);
	return cx_store_image_remove(req->gateway->store, name, err);
}

void cx_handle_image_delete(struct cx_request *req)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (find(req, &image, &err) < 0 || remove_unused(req, image.name, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_log(CX_LOG_INFO, "image removed", "name", image.name, NULL);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "name", image.name);
	write_digest(&w, "digest", image.manifest_id);
	cx_jsonw_end(&w);
	answer(req, &w);
	cx_images_sweep(req->gateway);
}

/* ---- layers and blobs that nobody needs ----------------------------------------------------- */

struct sweep {
	struct cx_gateway *gw;
	struct cx_engine_call call;
	uint8_t at[32];
};

static int sweep_blob(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *err)
{
	struct cx_gateway *gw = arg;
	int used = cx_store_blob_used(gw->store, id, err);

	(void)size;
	if (used != 0 || cx_intakes_hold_blob(gw, id))
		return used < 0 ? used : 0;
	return cx_blob_remove(&gw->blobs, id, err);
}

static void sweep_over(struct sweep *sweep)
{
	sweep->gw->sweeping = false;
	free(sweep);
}

static void sweep_next(struct sweep *sweep, const uint8_t *after);

static void on_layer_removed(struct cx_engine_call *call, struct cx_engine_answer *answer_,
			     const struct cx_err *err)
{
	struct sweep *sweep = cx_container_of(call, struct sweep, call);
	struct cx_err failed;

	(void)answer_;
	if (err == NULL || err->kind == CX_NOT_FOUND) {
		if (cx_store_layer_forget(sweep->gw->store, sweep->at, &failed) < 0)
			cx_log_err(CX_LOG_ERROR, &failed, "layer not forgotten", NULL);
	} else if (err->kind != CX_CONFLICT) { /* in use: another time */
		cx_log_err(CX_LOG_WARNING, err, "layer not removed", NULL);
	}
	sweep_next(sweep, sweep->at);
}

/* Removes the next layer that is nobody's: 1 under way, 0 there is none. */
static int remove_next(struct sweep *sweep, const uint8_t *after, struct cx_err *err)
{
	struct cx_gateway *gw = sweep->gw;
	int found;

	do
		found = cx_store_layer_unused(gw->store, after, sweep->at, err);
	while (found == 1 && cx_intakes_hold_layer(gw, after = sweep->at));
	if (found != 1)
		return found;
	return cx_engine_layer_remove(gw->engine, sweep->at, &sweep->call, err) == 0 ? 1 : -1;
}

static void sweep_next(struct sweep *sweep, const uint8_t *after)
{
	struct cx_err err;
	int found = remove_next(sweep, after, &err);

	if (found < 0)
		cx_log_err(CX_LOG_ERROR, &err, "unused layers not removed", NULL);
	if (found != 1)
		sweep_over(sweep);
}

void cx_images_sweep(struct cx_gateway *gw)
{
	struct sweep *sweep;
	struct cx_err err;

	if (gw->sweeping)
		return;
	if (cx_blobs_each(&gw->blobs, sweep_blob, gw, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "unused blobs not removed", NULL);
	sweep = calloc(1, sizeof *sweep);
	if (sweep == NULL)
		return;
	sweep->gw = gw;
	sweep->call.done = on_layer_removed;
	gw->sweeping = true;
	sweep_next(sweep, NULL);
}
