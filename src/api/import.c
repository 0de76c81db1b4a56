/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/early.h"
#include "api/feed.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/intake.h"
#include "api/jsonw.h"
#include "api/spool.h"
#include "api/sweep.h"
#include "api/workerpipe.h"
#include "base/fd.h"
#include "base/log.h"

/*
 * Images from an archive, one import at a time:
 *
 *	upload	to an unnamed file; when nothing else is to do, the scan begins with it
 *	scan	caissond's worker turns the upload into an entry stream, which is spooled here;
 *		large files, which can only be layers, are built meanwhile (api/early.h)
 *	names	what the documents call the images that are to be taken; of a tree of files,
 *		what the client calls it
 *	intake	one image after the other (api/intake.h); its files become blobs
 */
enum { WAITING_MAX = 16, NAMES_MAX = 65536, ANSWER_MAX = 64 << 20 };

static const uint64_t spool_bytes_max = (uint64_t)64 << 30;

struct cx_import {
	struct cx_gateway *gw;
	struct cx_request *req;
	struct cx_import *next; /* in the queue */
	struct cx_engine_call call;
	struct cx_worker_pipe *entries;
	struct cx_word word;
	unsigned pending;
	struct cx_err stream_err, call_err;
	bool whole;  /* all of the archive has come */
	int archive; /* from then on */
	struct cx_feed *feed;
	struct cx_early *early;
	struct cx_spool *spool;		   /* NULL: the archive is a tree of files */
	char given[CX_IMAGE_NAME_MAX + 1]; /* by the client; "" when the archive names them */
	char name[CX_IMAGE_NAME_MAX + 1];  /* of the image at work */
	struct cx_buf names;		   /* strv: as the archive calls those to be taken */
	size_t names_at;
	struct cx_intake *intake;
	struct cx_buf json;
	struct cx_jsonw answer;
	unsigned skipped;
};

static void start_next(struct cx_gateway *gw);
static void next_image(struct cx_import *im);

/* ---- memory and ends ------------------------------------------------------------------------ */

static void free_import(struct cx_import *im)
{
	cx_intake_free(im->intake);
	cx_early_free(im->early);
	cx_feed_free(im->feed);
	cx_engine_forget(&im->call);
	cx_worker_pipe_forget(im->entries);
	cx_word_forget(&im->word);
	cx_spool_free(im->spool);
	cx_buf_free(&im->names);
	cx_buf_free(&im->json);
	cx_close(&im->archive);
	free(im);
}

static void end(struct cx_import *im)
{
	struct cx_gateway *gw = im->gw;

	gw->import = NULL;
	free_import(im);
	start_next(gw);
	cx_store_sweep(gw);
}

static void fail(struct cx_import *im, struct cx_err *err)
{
	/* What is not found or not allowed is in the archive: 404 and 403 would speak of the path.
	 */
	if (err->kind == CX_NOT_FOUND || err->kind == CX_DENIED)
		err->kind = CX_INVALID;
	cx_log_err(CX_LOG_WARNING, err, "import failed", "name", im->name, NULL);
	cx_request_fail(im->req, err);
	end(im);
}

static void finish(struct cx_import *im)
{
	struct cx_err err;

	cx_jsonw_end(&im->answer);
	cx_jsonw_int(&im->answer, "skipped", im->skipped);
	cx_jsonw_end(&im->answer);
	if (cx_jsonw_finish(&im->answer, &err) < 0) {
		fail(im, &err);
		return;
	}
	cx_request_answer(im->req, 200, &im->json);
	end(im);
}

/* ---- one image ------------------------------------------------------------------------------ */

/* A description of its own, as workers read several layers at once and a layer may come twice. */
static int reopen(int fd, int *ret, struct cx_err *err)
{
	char path[40];

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret >= 0 ? 0 : cx_fail(err, errno, "open a spool file");
}

static int layer_open(void *arg, unsigned layer, int *ret_fd, struct cx_err *err)
{
	struct cx_import *im = arg;
	const struct cx_oci_image *plan = cx_intake_plan(im->intake);

	if (im->spool == NULL)
		return reopen(im->archive, ret_fd, err);
	return reopen(cx_spool_find(im->spool, plan->layers[layer].file)->fd, ret_fd, err);
}

static struct cx_layer_build *layer_begun(void *arg, unsigned layer)
{
	struct cx_import *im = arg;
	const struct cx_oci_image *plan = cx_intake_plan(im->intake);

	return im->spool == NULL
		       ? NULL
		       : cx_early_take(im->early,
				       cx_spool_find(im->spool, plan->layers[layer].file));
}

static const char *type_of(int fd)
{
	uint8_t magic[4];
	ssize_t n = pread(fd, magic, sizeof magic, 0);

	return cx_oci_layer_type(magic, n > 0 ? (size_t)n : 0);
}

static uint64_t expected_bytes(const struct cx_oci_layer *layer)
{
	return layer->has_blob_id ? layer->blob_bytes : CX_OCI_ANY_SIZE;
}

/* Also of layers that the store has: what an archive says of itself is true or it is refused. */
static int check_files(const struct cx_import *im, struct cx_oci_image *plan, struct cx_err *err)
{
	for (unsigned i = 0; i < plan->nlayers; i++) {
		struct cx_oci_layer *layer = &plan->layers[i];
		const struct cx_spool_file *file =
			cx_spool_expect(im->spool, layer->file, expected_bytes(layer), err);

		if (file == NULL)
			return cx_wrap(err, "layer %u", i + 1);
		memcpy(layer->blob_id, file->id, 32);
		layer->blob_bytes = file->size;
		if (layer->media_type == NULL)
			layer->media_type = type_of(file->fd);
	}
	return 0;
}

static int complete_tree(struct cx_import *im, struct cx_oci_image *plan, struct cx_err *err)
{
	plan->layers[0].media_type = type_of(im->archive);
	return cx_oci_make_config(plan, err) < 0
		       ? -err->errnum
		       : cx_blob_keep(&im->gw->blobs, im->archive, plan->layers[0].blob_id, err);
}

static int keep_files(struct cx_import *im, const struct cx_oci_image *plan, struct cx_err *err)
{
	for (unsigned i = 0; i < plan->nlayers; i++)
		if (cx_blob_keep(&im->gw->blobs, cx_spool_find(im->spool, plan->layers[i].file)->fd,
				 plan->layers[i].blob_id, err) < 0)
			return -err->errnum;
	return 0;
}

static int record(struct cx_import *im, struct cx_image_row *ret, struct cx_err *err)
{
	struct cx_oci_image *plan = cx_intake_plan(im->intake);

	if ((im->spool == NULL ? complete_tree(im, plan, err) : keep_files(im, plan, err)) < 0 ||
	    (plan->manifest_type == NULL && cx_oci_make_manifest(plan, err) < 0))
		return -err->errnum;
	return cx_intake_record(im->intake, im->name, ret, err);
}

static void on_layers(void *arg, const struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row row = { 0 };
	struct cx_import *im = arg;
	struct cx_err failed;

	if (err != NULL || record(im, &row, &failed) < 0) {
		failed = err != NULL ? *err : failed;
		fail(im, &failed);
		return;
	}
	cx_log(CX_LOG_INFO, "image imported", "name", im->name, NULL);
	cx_jsonw_object(&im->answer, NULL);
	cx_image_present(&im->answer, &row);
	cx_jsonw_end(&im->answer);
	im->skipped += cx_intake_skipped(im->intake);
	cx_intake_free(im->intake);
	im->intake = NULL;
	next_image(im);
}

static const struct cx_intake_ops intake_ops = { .begun = layer_begun,
						 .open = layer_open,
						 .layers = on_layers };

static int begin_image(struct cx_import *im, const char *called, struct cx_err *err)
{
	struct cx_oci_source source = cx_spool_source(im->spool);
	struct cx_oci_image *plan;

	if (cx_intake_new(im->gw, &intake_ops, im, &im->intake, err) < 0)
		return -err->errnum;
	plan = cx_intake_plan(im->intake);
	if (im->spool == NULL)
		plan->nlayers = 1;
	else if (cx_oci_read(&source, called, plan, err) < 0 || check_files(im, plan, err) < 0)
		return -err->errnum;
	if (im->given[0] != '\0')
		memcpy(im->name, im->given, sizeof im->name);
	else if (cx_image_name(called, "name", im->gw->host.registry, im->name, err) < 0)
		return cx_wrap(err, "what the archive calls its image cannot be used; give a name");
	cx_intake_start(im->intake, im->spool == NULL);
	return 0;
}

static void next_image(struct cx_import *im)
{
	const char *called = im->names.p + im->names_at;
	struct cx_err err;

	if (im->names_at == im->names.len) {
		finish(im);
		return;
	}
	im->names_at += strlen(called) + 1;
	if (begin_image(im, called, &err) < 0)
		fail(im, &err);
}

/* ---- which images --------------------------------------------------------------------------- */

/* The name in the archive that means the given one, else the given one itself. */
static const char *find_given(const struct cx_import *im, struct cx_str names)
{
	char name[CX_IMAGE_NAME_MAX + 1];
	struct cx_err ignored;

	CX_STRV_FOREACH (called, names) {
		if (cx_image_name(called, "name", im->gw->host.registry, name, &ignored) == 0 &&
		    strcmp(name, im->given) == 0)
			return called;
	}
	return cx_request_query(im->req, "name");
}

static int choose_all(struct cx_import *im, struct cx_str names, struct cx_err *err)
{
	if (names.len == 0) /* cx_oci_read() says why */
		return cx_buf_add(&im->names, "", 1, err);
	CX_STRV_FOREACH (called, names) {
		if (called[0] == '\0')
			return cx_refuse(
				err, CX_INVALID,
				"the archive gives no name to an image; give one as 'name'");
		if (cx_buf_add(&im->names, called, strlen(called) + 1, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int choose(struct cx_import *im, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf names = { .max = NAMES_MAX };
	struct cx_oci_source source = cx_spool_source(im->spool);
	struct cx_str strv;
	const char *called;

	if (im->spool->err.errnum != 0) {
		*err = im->spool->err;
		return -err->errnum;
	}
	if (cx_oci_names(&source, &names, err) < 0)
		return -err->errnum;
	strv = cx_str_of_buf(&names);
	if (im->given[0] == '\0')
		return choose_all(im, strv, err);
	called = find_given(im, strv);
	return cx_buf_add(&im->names, called, strlen(called) + 1, err);
}

static int choose_tree(struct cx_import *im, struct cx_err *err)
{
	cx_early_free(im->early);
	im->early = NULL;
	cx_spool_free(im->spool);
	im->spool = NULL;
	if (im->given[0] == '\0')
		return cx_refuse(err, CX_INVALID,
				 "the archive gives no name to its image; give one as 'name'");
	return cx_buf_add(&im->names, "", 1, err);
}

/* ---- scan ----------------------------------------------------------------------------------- */

static int scan_result(struct cx_import *im, struct cx_report *report, struct cx_err *err)
{
	int word;

	if (im->stream_err.errnum != 0) {
		*err = im->stream_err;
		return -err->errnum;
	}
	word = cx_word_get(&im->word, report, err);
	if (word < 0)
		return word;
	if (im->call_err.errnum != 0) {
		*err = im->call_err;
		return -err->errnum;
	}
	if (word == 0 || (report->kind != CX_REPORT_IMAGE && report->kind != CX_REPORT_ROOTFS))
		return cx_refuse(err, CX_INTERNAL, "a worker ended without a useful report");
	return cx_entry_decode_finish(&im->spool->decoder, err);
}

static int take_result(struct cx_import *im, struct cx_err *err)
{
	struct cx_report report = { 0 };

	if (scan_result(im, &report, err) < 0)
		return -err->errnum;
	if (report.kind == CX_REPORT_ROOTFS)
		return choose_tree(im, err);
	cx_close(&im->archive);
	return choose(im, err);
}

static void one_less(struct cx_import *im)
{
	struct cx_err err;

	if (--im->pending > 0)
		return;
	if (take_result(im, &err) < 0) {
		fail(im, &err);
		return;
	}
	im->answer.out = &im->json;
	cx_jsonw_object(&im->answer, NULL);
	cx_jsonw_array(&im->answer, "images");
	next_image(im);
}

static bool take_entries(void *arg, const char *p, size_t len)
{
	struct cx_import *im = arg;

	return cx_entry_decode(&im->spool->decoder, p, len, &im->stream_err) == 0;
}

static void entries_ended(void *arg)
{
	struct cx_import *im = arg;

	im->entries = NULL;
	one_less(im);
}

static const struct cx_worker_pipe_ops entry_ops = { take_entries, entries_ended };

static void on_word(struct cx_word *word)
{
	one_less(cx_container_of(word, struct cx_import, word));
}

static void on_scanned(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_import *im = cx_container_of(call, struct cx_import, call);

	(void)answer;
	if (err != NULL)
		im->call_err = *err;
	one_less(im);
}

static void spool_grown(void *arg, const struct cx_spool_file *file, uint64_t bytes)
{
	struct cx_import *im = arg;

	cx_early_grown(im->early, file, bytes);
}

/* The upload, or as much of it as comes. */
static int open_upload(struct cx_import *im, int *ret, struct cx_err *err)
{
	if (!im->whole)
		return cx_feed_new(im->gw->loop, im->req->body_fd, ret, &im->feed, err);
	return reopen(im->archive, ret, err);
}

static int scan(struct cx_import *im, struct cx_err *err)
{
	cx_autofd int upload = -EBADF, entries = -EBADF, report = -EBADF;
	struct cx_loop *loop = im->gw->loop;

	im->pending = im->whole ? 3 : 4;
	im->word.heard = on_word;
	im->call.done = on_scanned;
	if (cx_spool_new(im->gw->blobs.whole, spool_bytes_max, &im->spool, err) < 0 ||
	    cx_early_new(im->gw, &im->early, err) < 0)
		return -err->errnum;
	im->spool->grown = spool_grown;
	im->spool->arg = im;
	if (open_upload(im, &upload, err) < 0 ||
	    cx_worker_pipe_open(loop, &entry_ops, im, &entries, &im->entries, err) < 0 ||
	    cx_word_open(loop, &im->word, &report, err) < 0)
		return -err->errnum;
	return cx_engine_scan(im->gw->engine, (int[]){ upload, entries, report }, &im->call, err);
}

/* ---- one at a time -------------------------------------------------------------------------- */

static void start_next(struct cx_gateway *gw)
{
	struct cx_import *im = gw->imports_waiting;
	struct cx_err err;

	if (im == NULL || gw->import != NULL)
		return;
	gw->imports_waiting = im->next;
	gw->import = im;
	if (scan(im, &err) < 0)
		fail(im, &err);
}

/* Of an upload under way: what was begun with it is forgotten, and begins anew when it is whole. */
static void step_back(struct cx_import *im)
{
	im->req->grown = im->req->broken = NULL;
	im->req->owner = NULL;
	im->gw->import = NULL;
	free_import(im);
}

static int enqueue(struct cx_gateway *gw, struct cx_import *im, struct cx_err *err)
{
	struct cx_import **at = &gw->imports_waiting;
	unsigned n = 0;

	for (; *at != NULL; at = &(*at)->next)
		n++;
	if (n >= WAITING_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "%u imports wait already", n);
	*at = im;
	if (gw->import != NULL && !gw->import->whole) /* may take long; this one is here */
		step_back(gw->import);
	return 0;
}

static struct cx_import *new_import(struct cx_request *req, struct cx_err *err)
{
	const char *given = cx_request_query(req, "name");
	struct cx_import *im = calloc(1, sizeof *im);

	if (im == NULL) {
		(void)cx_fail(err, ENOMEM, "import");
		return NULL;
	}
	im->gw = req->gateway;
	im->req = req;
	im->archive = -EBADF;
	im->names.max = NAMES_MAX;
	im->json.max = ANSWER_MAX;
	if (given != NULL && /* else the archive names its images */
	    cx_image_name(given, "name", im->gw->host.registry, im->given, err) < 0) {
		free_import(im);
		return NULL;
	}
	(void)strcpy(im->name, im->given);
	return im;
}

/* ---- while the upload comes ----------------------------------------------------------------- */

static void upload_grown(struct cx_request *req)
{
	struct cx_import *im = req->owner;

	cx_feed_grown(im->feed, req->body_bytes, false);
}

static void upload_broke(struct cx_request *req)
{
	struct cx_import *im = req->owner;

	step_back(im);
	start_next(req->gateway);
}

/* ---- when it is there ----------------------------------------------------------------------- */

static int begin_whole(struct cx_request *req, struct cx_err *err)
{
	struct cx_import *im;

	if (req->body_bytes == 0)
		return cx_refuse(err, CX_INVALID, "the body is empty; it must be an archive");
	im = new_import(req, err);
	if (im == NULL)
		return -err->errnum;
	im->archive = cx_take_fd(&req->body_fd);
	im->whole = true;
	if (enqueue(req->gateway, im, err) == 0)
		return 0;
	free_import(im);
	return -err->errnum;
}

static void upload_whole(struct cx_request *req)
{
	struct cx_import *im = req->owner;
	struct cx_err err;

	req->grown = req->broken = NULL;
	if (im != NULL && req->body_bytes > 0) {
		im->archive = cx_take_fd(&req->body_fd);
		im->whole = true;
		cx_feed_grown(im->feed, req->body_bytes, true);
		one_less(im);
		return;
	}
	if (im != NULL)
		step_back(im);
	if (begin_whole(req, &err) < 0)
		cx_request_fail(req, &err);
	start_next(req->gateway);
}

/*
 * Before the body: its scan begins now, if nobody is at it. What cannot be done yet, or is to be
 * refused, is done, or said, when the body is whole.
 */
void cx_handle_image_import(struct cx_request *req)
{
	struct cx_gateway *gw = req->gateway;
	struct cx_import *im;
	struct cx_err later;

	req->whole = upload_whole;
	if (gw->import != NULL)
		return;
	im = new_import(req, &later);
	if (im == NULL)
		return;
	gw->import = im;
	req->owner = im;
	req->grown = upload_grown;
	req->broken = upload_broke;
	if (scan(im, &later) < 0)
		step_back(im);
}
