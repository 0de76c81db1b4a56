/* SPDX-License-Identifier: Apache-2.0 */
#include "api/images.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/intake.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"
#include "api/sweep.h"
#include "base/log.h"

enum { ANSWER_MAX = 64 << 20 };

int cx_image_find(struct cx_gateway *gw, const char *given, const char *field,
		  struct cx_image_row *ret, struct cx_err *err)
{
	char name[CX_IMAGE_NAME_MAX + 1];

	if (cx_image_name(given, field, gw->host.registry, name, err) < 0)
		return -err->errnum;
	return cx_store_image_find(gw->store, name, ret, err);
}

void cx_image_present_id(struct cx_jsonw *w, const char *key, const uint8_t id[32])
{
	char text[CX_REF_DIGEST_LEN + 1];

	cx_ref_digest(id, text);
	cx_jsonw_text(w, key, text);
}

void cx_image_present(struct cx_jsonw *w, const struct cx_image_row *image)
{
	char created[32];

	cx_time_text(image->created_ms, created);
	cx_jsonw_text(w, "name", image->name);
	cx_image_present_id(w, "id", image->config_id);
	cx_image_present_id(w, "digest", image->manifest_id);
	cx_jsonw_text(w, "mediaType", image->manifest_type);
	cx_jsonw_text(w, "platform", image->platform);
	cx_jsonw_int(w, "sizeBytes", image->size_bytes);
	cx_jsonw_int(w, "uniqueBytes", image->unique_bytes);
	cx_jsonw_int(w, "sharedBytes", image->size_bytes - image->unique_bytes);
	cx_jsonw_text(w, "createdAt", created);
	cx_jsonw_array(w, "layers");
	for (unsigned i = 0; i < image->nlayers; i++) {
		const struct cx_layer_row *layer = &image->layers[i];

		cx_jsonw_object(w, NULL);
		cx_image_present_id(w, "diffId", layer->diff_id);
		cx_image_present_id(w, "digest", layer->blob_id);
		cx_jsonw_text(w, "mediaType", layer->media_type);
		cx_jsonw_int(w, "blobBytes", layer->blob_bytes);
		cx_jsonw_int(w, "sizeBytes", layer->size_bytes);
		cx_jsonw_end(w);
	}
	cx_jsonw_end(w);
	cx_jsonw_raw(w, "config", image->config);
}

static int list_one(const struct cx_image_row *image, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	cx_image_present(arg, image);
	cx_jsonw_end(arg);
	return 0;
}

static int list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	return cx_store_image_each(req->gateway->store, list_one, w, err);
}

void cx_handle_image_list(struct cx_request *req)
{
	if (cx_prime_asks_images(req))
		cx_prime_images(req);
	else
		cx_request_answer_list(req, "images", list);
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

	if (cx_image_find(req->gateway, req->param, "name", &image, &err) < 0 ||
	    read_history(req->gateway, &image, &history, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_image_present(&w, &image);
	cx_jsonw_raw(&w, "history", history);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static int tag(struct cx_request *req, struct cx_image_row *image, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *registry = req->gateway->host.registry, *from = NULL, *to = NULL;
	char name[CX_IMAGE_NAME_MAX + 1];

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "image", CX_IMAGE_NAME_MAX, &from, err) < 0 ||
	    cx_json_text(doc, "name", CX_IMAGE_NAME_MAX, &to, err) < 0)
		return -err->errnum;
	if (from == NULL || to == NULL)
		return cx_refuse(err, CX_INVALID,
				 "'image' and 'name' are needed: which image, and its new name");
	if (cx_image_find(req->gateway, from, "image", image, err) < 0 ||
	    cx_image_name(to, "name", registry, name, err) < 0)
		return -err->errnum;
	if (strchr(name, '@') != NULL)
		return cx_refuse(err, CX_INVALID,
				 "'name' has a digest, which is not for anybody to choose");
	free(image->name);
	image->name = strdup(name);
	if (image->name == NULL)
		return cx_fail(err, ENOMEM, "image");
	return cx_store_image_put(req->gateway->store, image, err);
}

void cx_handle_image_tag(struct cx_request *req)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (tag(req, &image, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_image_present(&w, &image);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
	cx_store_sweep(req->gateway); /* of what had the name before */
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

	if (cx_image_find(req->gateway, req->param, "name", &image, &err) < 0 ||
	    remove_unused(req, image.name, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_log(CX_LOG_INFO, "image removed", "name", image.name, NULL);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "name", image.name);
	cx_image_present_id(&w, "digest", image.manifest_id);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
	cx_store_sweep(req->gateway);
}
