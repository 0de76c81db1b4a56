/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/intake.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/sweep.h"
#include "api/workers.h"
#include "base/log.h"

/*
 * An image of what a sandbox has changed:
 *
 *	pack	caissond's workers make an archive of its writable directory while it stands still;
 *		the archive is a blob without a name
 *	plan	the image that the sandbox was made from, and that archive as a layer over it
 *	intake	the layer is taken like any other (api/intake.h), then the image recorded
 */
enum { ENTRIES_MAX = 4000000, TEXT_MAX = 4096, ANSWER_MAX = 1 << 20 };
static const uint64_t layer_bytes_max = (uint64_t)64 << 30;

struct commit {
	struct cx_gateway *gw;
	struct cx_request *req;
	char name[CX_IMAGE_NAME_MAX + 1];
	char *message, *author; /* NULL: none */
	struct cx_image_row base;
	struct cx_buf list; /* of the one manifest of base */
	struct cx_workers workers;
	int blob;
	struct cx_intake *intake;
};

/* ---- ends ----------------------------------------------------------------------------------- */

static void free_commit(struct commit *c)
{
	cx_intake_free(c->intake);
	cx_workers_forget(&c->workers);
	cx_image_row_clear(&c->base);
	cx_buf_free(&c->list);
	cx_close(&c->blob);
	free(c->message);
	free(c->author);
	free(c);
}

static void fail(struct commit *c, const struct cx_err *err)
{
	struct cx_gateway *gw = c->gw;

	cx_log_err(CX_LOG_WARNING, err, "commit failed", "name", c->name, NULL);
	cx_request_fail(c->req, err);
	free_commit(c);
	cx_store_sweep(gw); /* of a layer that was made for nothing */
}

static void finish(struct commit *c, const struct cx_image_row *image)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_gateway *gw = c->gw;

	cx_log(CX_LOG_INFO, "sandbox committed", "name", c->name, NULL);
	cx_jsonw_object(&w, NULL);
	cx_image_present(&w, image);
	cx_jsonw_end(&w);
	cx_request_answer_json(c->req, &w);
	free_commit(c);
	cx_store_sweep(gw); /* of what had the name before */
}

/* ---- the new image -------------------------------------------------------------------------- */

static bool is_list(void *arg, const char *file)
{
	(void)arg;
	return strcmp(file, "index.json") == 0;
}

/* For image/oci.h: the documents of the base, all of which the blob store has. */
static int read_document(void *arg, enum cx_oci_document what, const char *file, uint64_t bytes,
			 struct cx_buf *ret, struct cx_err *err)
{
	struct commit *c = arg;
	const uint8_t *id = what == CX_OCI_CONFIG ? c->base.config_id : c->base.manifest_id;

	(void)file;
	(void)bytes;
	if (what == CX_OCI_LIST)
		return cx_buf_add(ret, c->list.p, c->list.len, err);
	return cx_blob_read(&c->gw->blobs, id, ret, err);
}

static int read_base(struct commit *c, struct cx_oci_image *plan, struct cx_err *err)
{
	const struct cx_oci_source source = { .has = is_list, .read = read_document, .arg = c };
	CX_AUTO(cx_buf_free) struct cx_buf manifest = { .max = CX_OCI_DOCUMENT_MAX };

	if (cx_blob_read(&c->gw->blobs, c->base.manifest_id, &manifest, err) < 0 ||
	    cx_oci_make_index(c->base.manifest_type, c->base.manifest_id, manifest.len, &c->list,
			      err) < 0 ||
	    cx_oci_read(&source, "", plan, err) < 0)
		return cx_wrap(err, "image '%.256s'", c->base.name);
	return 0;
}

static int add_layer(struct commit *c, struct cx_oci_image *plan, struct cx_err *err)
{
	const struct cx_report *packed = &c->workers.reports[1];
	struct cx_oci_layer layer = { .media_type = cx_oci_layer_type(NULL, 0),
				      .blob_bytes = packed->blob_bytes,
				      .has_blob_id = true };
	char created[32];
	const struct cx_oci_step step = { .created = created,
					  .created_by = "caisson commit",
					  .author = c->author,
					  .comment = c->message };

	cx_time_text(cx_wall_ms(), created);
	memcpy(layer.blob_id, packed->blob_id, sizeof layer.blob_id);
	memcpy(layer.diff_id, packed->diff_id, sizeof layer.diff_id);
	return cx_oci_add_layer(plan, &layer, &step, err);
}

/* Of the layers below the new one nothing is missing, or the sandbox could not have been made. */
static int layer_open(void *arg, unsigned layer, int *ret_fd, struct cx_err *err)
{
	struct commit *c = arg;
	const struct cx_oci_image *plan = cx_intake_plan(c->intake);
	uint64_t size;

	if (layer + 1 < plan->nlayers)
		return cx_blob_open(&c->gw->blobs, plan->layers[layer].blob_id, ret_fd, &size, err);
	if (lseek(c->blob, 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "rewind the archive");
	*ret_fd = fcntl(c->blob, F_DUPFD_CLOEXEC, 3);
	return *ret_fd >= 0 ? 0 : cx_fail(err, errno, "duplicate the archive");
}

/* The digest that a worker gave the archive another one has seen by now. */
static int record(struct commit *c, struct cx_image_row *ret, struct cx_err *err)
{
	const struct cx_oci_image *plan = cx_intake_plan(c->intake);
	const struct cx_oci_layer *top = &plan->layers[plan->nlayers - 1];

	if (cx_blob_keep(&c->gw->blobs, c->blob, top->blob_id, err) < 0)
		return -err->errnum;
	return cx_intake_record(c->intake, c->name, ret, err);
}

static void on_layers(void *arg, const struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct commit *c = arg;
	struct cx_err failed;

	if (err == NULL && record(c, &image, &failed) == 0) {
		finish(c, &image);
		return;
	}
	fail(c, err != NULL ? err : &failed);
}

static const struct cx_intake_ops intake_ops = { .open = layer_open, .layers = on_layers };

static int take_in(struct commit *c, struct cx_err *err)
{
	struct cx_oci_image *plan;

	if (cx_intake_new(c->gw, &intake_ops, c, &c->intake, err) < 0)
		return -err->errnum;
	plan = cx_intake_plan(c->intake);
	if (read_base(c, plan, err) < 0 || add_layer(c, plan, err) < 0)
		return -err->errnum;
	cx_intake_start(c->intake, false);
	return 0;
}

static void on_packed(struct cx_workers *workers, const struct cx_err *err)
{
	struct commit *c = cx_container_of(workers, struct commit, workers);
	struct cx_err failed;

	if (err == NULL && take_in(c, &failed) == 0)
		return;
	fail(c, err != NULL ? err : &failed);
}

/* ---- the request ---------------------------------------------------------------------------- */

static int copy_text(const char *text, char **ret, struct cx_err *err)
{
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL ? 0 : cx_fail(err, ENOMEM, "commit");
}

static int parse(struct commit *c, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *image = NULL, *message = NULL, *author = NULL;

	if (cx_json_parse_object(c->req->body.p, c->req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "image", CX_IMAGE_NAME_MAX, &image, err) < 0 ||
	    cx_json_text(doc, "message", TEXT_MAX, &message, err) < 0 ||
	    cx_json_text(doc, "author", TEXT_MAX, &author, err) < 0)
		return -err->errnum;
	if (image == NULL)
		return cx_refuse(err, CX_INVALID, "'image' is needed: the name of the new image");
	if (strchr(image, '@') != NULL)
		return cx_refuse(err, CX_INVALID, "'image' must have a tag, not a digest");
	if (cx_image_name(image, "image", c->gw->host.registry, c->name, err) < 0 ||
	    copy_text(message, &c->message, err) < 0)
		return -err->errnum;
	return copy_text(author, &c->author, err);
}

/* A commit must not be what fills the disk. */
static int bytes_allowed(const struct commit *c, uint64_t *ret, struct cx_err *err)
{
	if (cx_blobs_free_bytes(&c->gw->blobs, ret, err) < 0)
		return -err->errnum;
	if (*ret > layer_bytes_max)
		*ret = layer_bytes_max;
	return *ret > 0 ? 0 : cx_refuse(err, CX_LIMIT, "the disk of the state directory is full");
}

static int ask(struct commit *c, const char *id, struct cx_err *err)
{
	uint8_t layers[CX_IMAGE_LAYERS_MAX][32];
	cx_autofd int walk = -EBADF, pack = -EBADF;
	int reports[2] = { -EBADF, -EBADF };
	struct cx_msg_commit plan = { .id = cx_str_of(id), .max_entries = ENTRIES_MAX };

	for (unsigned i = 0; i < c->base.nlayers; i++)
		memcpy(layers[i], c->base.layers[i].diff_id, sizeof layers[i]);
	plan.layers = (struct cx_str){ (const char *)layers, 32 * c->base.nlayers };
	c->workers.done = on_packed;
	if (bytes_allowed(c, &plan.max_bytes, err) < 0 ||
	    cx_blob_new(&c->gw->blobs, &c->blob, err) < 0 ||
	    cx_workers_open(&c->workers, c->gw->loop, 2, reports, err) < 0)
		return -err->errnum;
	walk = reports[0];
	pack = reports[1];
	return cx_engine_commit(c->gw->engine, &plan, (int[]){ c->blob, walk, pack },
				&c->workers.call, err);
}

static int start(struct commit *c, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (parse(c, err) < 0 || cx_access_named(c->req, c->req->param, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				 named.row->status);
	if (cx_box_agent(named.box, err) == NULL ||
	    cx_store_image_find(c->gw->store, named.row->image_name, &c->base, err) < 0)
		return -err->errnum;
	return ask(c, named.row->engine_id, err);
}

void cx_handle_commit(struct cx_request *req)
{
	struct commit *c = calloc(1, sizeof *c);
	struct cx_err err;

	if (c == NULL) {
		(void)cx_fail(&err, ENOMEM, "commit");
		cx_request_fail(req, &err);
		return;
	}
	c->gw = req->gateway;
	c->req = req;
	c->blob = -EBADF;
	if (start(c, &err) == 0)
		return;
	cx_request_fail(req, &err);
	free_commit(c);
}
