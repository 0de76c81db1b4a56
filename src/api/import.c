/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/boxes.h"
#include "api/handlers.h"
#include "api/imageconfig.h"
#include "api/images.h"
#include "api/spool.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "image/report.h"

/*
 * An image from an archive, one import at a time:
 *
 *	scan	caissond's worker turns the upload into an entry stream, which is spooled here
 *	plan	the documents say which files are layers; without any, the upload is one layer
 *	layers	each is built by two more workers, compared with its digests, then committed
 *	record	one transaction makes the image visible
 *
 * A layer is noted in the database before it is committed, so that a crash leaves nothing that is
 * not swept later.
 */
enum {
	WAITING_MAX = 16,
	ENTRIES_MAX = 4000000, /* of one layer */
	CHUNK = 65536,
	CHUNKS_PER_TURN = 8,
};
static const uint64_t layer_bytes_max = (uint64_t)64 << 30;

struct reader { /* one pipe from a worker */
	struct cx_source source;
	struct cx_import *import;
	void (*take)(struct cx_import *import, struct reader *reader, const char *p, size_t len);
	uint8_t report[CX_REPORT_SIZE + 1];
	size_t len;
};

struct cx_import {
	struct cx_gateway *gw;
	struct cx_request *req;
	struct cx_import *next; /* in the queue */
	struct cx_engine_call call;
	struct reader readers[2];
	unsigned pending, holders;
	void (*step)(struct cx_import *import); /* when nothing is pending */
	int archive;
	struct cx_spool *spool;
	struct cx_oci_image plan;
	struct cx_layer_row layers[CX_OCI_LAYERS_MAX];
	unsigned at; /* the layer at work */
	uint64_t token;
	bool has_token;
	char name[CX_IMAGE_NAME_MAX + 1]; /* "" until it is known, from the client or the archive */
	struct cx_err stream_err, call_err;
	unsigned skipped; /* entries that became nothing, of the layers that were read */
};

static void start_next(struct cx_gateway *gw);
static void layer_next(struct cx_import *im);

/* ---- memory and ends ------------------------------------------------------------------------ */

static void release(struct cx_import *im)
{
	if (--im->holders > 0)
		return;
	cx_spool_free(im->spool);
	cx_oci_image_clear(&im->plan);
	cx_close(&im->archive);
	free(im);
}

static void end(struct cx_import *im)
{
	struct cx_gateway *gw = im->gw;

	gw->import = NULL;
	release(im);
	start_next(gw);
	cx_images_sweep(gw);
}

static void fail(struct cx_import *im, struct cx_err *err)
{
	struct cx_err ignored;

	if (im->has_token && cx_engine_layer_abort(im->gw->engine, im->token, NULL, &ignored) < 0)
		cx_log_err(CX_LOG_WARNING, &ignored, "layer not dropped", NULL);
	/* What is not found or not allowed is in the archive: 404 and 403 would speak of the path.
	 */
	if (err->kind == CX_NOT_FOUND || err->kind == CX_DENIED)
		err->kind = CX_INVALID;
	cx_log_err(CX_LOG_WARNING, err, "import failed", "name", im->name, NULL);
	cx_request_fail(im->req, err);
	end(im);
}

/* ---- what comes from the workers ------------------------------------------------------------ */

static void one_less(struct cx_import *im)
{
	if (--im->pending == 0)
		im->step(im);
}

/* Only now does the loop not know the reader any more: the next step uses it again. */
static void reader_closed(struct cx_source *source)
{
	struct cx_import *im = cx_container_of(source, struct reader, source)->import;

	one_less(im);
	release(im);
}

static void reader_ready(struct cx_source *source, uint32_t events)
{
	struct reader *reader = cx_container_of(source, struct reader, source);
	CX_UNINITIALIZED char chunk[CHUNK];

	(void)events;
	for (unsigned i = 0; i < CHUNKS_PER_TURN && !source->dead; i++) {
		ssize_t n = read(source->fd, chunk, sizeof chunk);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			cx_loop_drop(reader->import->gw->loop, &reader->source);
		else
			reader->take(reader->import, reader, chunk, (size_t)n);
	}
}

/* One byte more than a report is kept, so that a long one is seen to be long. */
static void take_report(struct cx_import *im, struct reader *reader, const char *p, size_t len)
{
	size_t room = sizeof reader->report - reader->len;
	size_t n = len < room ? len : room;

	(void)im;
	memcpy(reader->report + reader->len, p, n);
	reader->len += n;
}

static void take_entries(struct cx_import *im, struct reader *reader, const char *p, size_t len)
{
	if (cx_entry_decode(&im->spool->decoder, p, len, &im->stream_err) < 0)
		cx_loop_drop(im->gw->loop, &reader->source); /* its writer hears of it by EPIPE */
}

/* Opens the pipe; its other end goes to *ret_theirs. */
static int open_reader(struct cx_import *im, struct reader *reader,
		       void (*take)(struct cx_import *, struct reader *, const char *, size_t),
		       int *ret_theirs, struct cx_err *err)
{
	int ours = -EBADF;

	if (cx_pipe(&ours, ret_theirs, err) < 0)
		return -err->errnum;
	*reader = (struct reader){
		.import = im,
		.take = take,
		.source = { .fd = ours, .ready = reader_ready, .destroy = reader_closed }
	};
	if (cx_set_nonblock(ours, true, err) < 0 ||
	    cx_loop_add(im->gw->loop, &reader->source, EPOLLIN, err) < 0) {
		cx_close(&ours);
		return -err->errnum;
	}
	im->holders++;
	im->pending++;
	return 0;
}

/*
 * 1: all is well; -errno: *err is what went wrong. 0: it has nothing to say, as it only noticed the
 * other's end (EPIPE), was ended because of it, or died.
 */
static int word_of(const struct reader *reader, struct cx_report *ret, struct cx_err *err)
{
	struct cx_err ignored;

	if (cx_report_decode(reader->report, reader->len, ret, &ignored) < 0)
		return 0;
	if (ret->ok)
		return 1;
	*err = ret->err;
	return err->errnum == EPIPE ? 0 : -err->errnum;
}

/* For when no worker has told: how caissond saw them end. */
static int nobody_told(const struct cx_import *im, struct cx_err *err)
{
	if (im->call_err.errnum == 0)
		return cx_refuse(err, CX_INTERNAL, "a worker ended without a report");
	*err = im->call_err;
	return -err->errnum;
}

/* ---- layers --------------------------------------------------------------------------------- */

static void on_noted(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct cx_import *im = cx_container_of(call, struct cx_import, call);

	(void)answer;
	im->has_token = false; /* spent either way */
	if (err != NULL) {
		im->call_err = *err;
		fail(im, &im->call_err);
		return;
	}
	im->at++;
	layer_next(im);
}

static int commit_layer(struct cx_import *im, struct cx_err *err)
{
	struct cx_layer_row *layer = &im->layers[im->at];

	if (cx_store_layer_note(im->gw->store, layer, err) < 0)
		return -err->errnum;
	im->call.done = on_noted;
	return cx_engine_layer_commit(im->gw->engine, im->token, layer->diff_id, &im->call, err);
}

static int check_layer(struct cx_import *im, struct cx_err *err)
{
	struct cx_oci_layer *layer = &im->plan.layers[im->at];
	struct cx_report read = { 0 }, write = { 0 };
	int reader, writer;

	/* The reader's word first: when it fails, the writer only sees a stream that ends early. */
	reader = word_of(&im->readers[0], &read, err);
	if (reader < 0)
		return reader;
	writer = word_of(&im->readers[1], &write, err);
	if (writer < 0)
		return writer;
	if (reader == 0 || writer == 0 || im->call_err.errnum != 0)
		return nobody_told(im, err);
	if (im->spool == NULL && read.kind == CX_REPORT_IMAGE)
		return cx_refuse(
			err, CX_INVALID,
			"the archive holds an OCI image layout, but other files beside it; "
			"pack the layout alone");
	im->skipped += read.skipped;
	if (im->spool == NULL) { /* a tree of files: nobody said what its digest should be */
		memcpy(layer->diff_id, read.diff_id, 32);
	} else if (memcmp(layer->diff_id, read.diff_id, 32) != 0) {
		return cx_refuse(err, CX_INVALID,
				 "its content does not have the diff id that the image's "
				 "configuration names");
	}
	if (layer->has_blob_id && memcmp(layer->blob_id, read.blob_id, 32) != 0)
		return cx_refuse(err, CX_INVALID, "it does not have the digest of its descriptor");
	memcpy(im->layers[im->at].diff_id, layer->diff_id, 32);
	return 0;
}

static void layer_built(struct cx_import *im)
{
	struct cx_err err;

	if (check_layer(im, &err) == 0 && commit_layer(im, &err) == 0)
		return;
	(void)cx_wrap(&err, "layer %u", im->at + 1);
	fail(im, &err);
}

static void on_built(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct cx_import *im = cx_container_of(call, struct cx_import, call);

	if (err != NULL) {
		im->call_err = *err;
	} else {
		im->token = answer->layer_built.token;
		im->has_token = true;
		im->layers[im->at].size_bytes =
			(int64_t)(answer->layer_built.size_bytes & INT64_MAX);
	}
	one_less(im);
}

static uint64_t expected_bytes(const struct cx_oci_layer *layer)
{
	return layer->has_blob_id ? layer->blob_bytes : CX_OCI_ANY_SIZE;
}

static int layer_file(struct cx_import *im, struct cx_err *err)
{
	const struct cx_oci_layer *layer = &im->plan.layers[im->at];
	const struct cx_spool_file *file;

	if (im->spool == NULL)
		return im->archive;
	file = cx_spool_expect(im->spool, layer->file, expected_bytes(layer), err);
	return file != NULL ? file->fd : -err->errnum;
}

/* Pipes that are open when this fails end by themselves: nobody has their other end. */
static int build_layer(struct cx_import *im, struct cx_err *err)
{
	struct cx_msg_layer_build plan = { .max_bytes = layer_bytes_max,
					   .max_entries = ENTRIES_MAX };
	cx_autofd int read_end = -EBADF, write_end = -EBADF;
	int fds[3] = { layer_file(im, err), -EBADF, -EBADF };

	if (fds[0] < 0)
		return -err->errnum;
	if (lseek(fds[0], 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "rewind a spool file");
	im->pending = 1;
	im->step = layer_built;
	im->call_err = (struct cx_err){ 0 };
	if (open_reader(im, &im->readers[0], take_report, &read_end, err) < 0 ||
	    open_reader(im, &im->readers[1], take_report, &write_end, err) < 0)
		return -err->errnum;
	fds[1] = read_end;
	fds[2] = write_end;
	im->call.done = on_built;
	return cx_engine_layer_build(im->gw->engine, &plan, fds, &im->call, err);
}

static void never(struct cx_import *im)
{
	(void)im;
}

static void start_build(struct cx_import *im)
{
	struct cx_err err;

	if (build_layer(im, &err) == 0)
		return;
	im->step = never;
	(void)cx_wrap(&err, "layer %u", im->at + 1);
	fail(im, &err);
}

static void on_stat(struct cx_engine_call *call, struct cx_engine_answer *answer,
		    const struct cx_err *err)
{
	struct cx_import *im = cx_container_of(call, struct cx_import, call);
	struct cx_layer_row *layer = &im->layers[im->at];
	struct cx_err failed;

	if (err != NULL && err->kind == CX_NOT_FOUND) {
		start_build(im);
		return;
	}
	if (err == NULL) { /* it is here, shared with another image */
		layer->size_bytes = (int64_t)(answer->layer_info.size_bytes & INT64_MAX);
		if (cx_store_layer_note(im->gw->store, layer, &failed) == 0) {
			im->at++;
			layer_next(im);
			return;
		}
	} else {
		failed = *err;
	}
	fail(im, &failed);
}

/* ---- the record ----------------------------------------------------------------------------- */

static int describe(const struct cx_import *im, char **ret, struct cx_err *err)
{
	const struct cx_oci_image *plan = &im->plan;
	char cwd[sizeof plan->cwd], user[sizeof plan->user];
	struct cx_image_config config = { .env = plan->env,
					  .entrypoint = plan->entrypoint,
					  .cmd = plan->cmd,
					  .cwd = cwd,
					  .user = user };

	memcpy(cwd, plan->cwd, sizeof cwd);
	memcpy(user, plan->user, sizeof user);
	return cx_image_config_dump(&config, ret, err);
}

/* A tree of files has no configuration document; its digest is the one of its only layer. */
static void write_digest(const struct cx_import *im, char ret[7 + 64 + 1])
{
	(void)strcpy(ret, "sha256:");
	cx_to_hex(im->spool != NULL ? im->plan.config_id : im->layers[0].diff_id, 32, ret + 7);
}

static int record(struct cx_import *im, struct cx_buf *json, struct cx_err *err)
{
	char digest[7 + 64 + 1];
	cx_autofree char *config = NULL;
	struct cx_image_row image = { .name = im->name,
				      .digest = digest,
				      .created_ms = cx_wall_ms(),
				      .layers = im->layers,
				      .nlayers = im->plan.nlayers };
	struct cx_jsonw w = { .out = json };

	for (unsigned i = 0; i < image.nlayers; i++)
		image.size_bytes += image.layers[i].size_bytes;
	write_digest(im, digest);
	if (describe(im, &config, err) < 0)
		return -err->errnum;
	image.config = config;
	cx_jsonw_object(&w, NULL);
	cx_image_present(&w, &image);
	cx_jsonw_int(&w, "skipped", im->skipped);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	return cx_store_image_put(im->gw->store, &image, err);
}

static void finish(struct cx_import *im)
{
	struct cx_buf json = { .max = 4 << 20 };
	char skipped[16];
	struct cx_err err;

	if (record(im, &json, &err) < 0) {
		cx_buf_free(&json);
		fail(im, &err);
		return;
	}
	(void)snprintf(skipped, sizeof skipped, "%u", im->skipped);
	cx_log(CX_LOG_INFO, "image imported", "name", im->name, "skipped", skipped, NULL);
	cx_request_answer(im->req, 200, &json);
	end(im);
}

static void layer_next(struct cx_import *im)
{
	struct cx_layer_row *layer = &im->layers[im->at];
	struct cx_err err;

	if (im->at == im->plan.nlayers) {
		finish(im);
		return;
	}
	if (im->spool == NULL) { /* its name is known only when it is read */
		start_build(im);
		return;
	}
	memcpy(layer->diff_id, im->plan.layers[im->at].diff_id, 32);
	im->call.done = on_stat;
	if (cx_engine_layer_stat(im->gw->engine, layer->diff_id, &im->call, &err) < 0)
		fail(im, &err);
}

/* ---- scan and plan -------------------------------------------------------------------------- */

static int scan_result(struct cx_import *im, struct cx_report *report, struct cx_err *err)
{
	int word;

	if (im->stream_err.errnum != 0) {
		*err = im->stream_err;
		return -err->errnum;
	}
	word = word_of(&im->readers[1], report, err);
	if (word < 0)
		return word;
	if (word == 0 || im->call_err.errnum != 0)
		return nobody_told(im, err);
	if (report->kind != CX_REPORT_IMAGE && report->kind != CX_REPORT_ROOTFS)
		return cx_refuse(err, CX_INTERNAL, "a worker reported nonsense");
	return cx_entry_decode_finish(&im->spool->decoder, err);
}

/* Also of layers that the store has: what an archive says of itself is true or it is refused. */
static int check_files(const struct cx_import *im, struct cx_err *err)
{
	for (unsigned i = 0; i < im->plan.nlayers; i++) {
		const struct cx_oci_layer *layer = &im->plan.layers[i];

		if (cx_spool_expect(im->spool, layer->file, expected_bytes(layer), err) == NULL)
			return cx_wrap(err, "layer %u", i + 1);
	}
	return 0;
}

static int make_plan(struct cx_import *im, const struct cx_report *report, struct cx_err *err)
{
	const char *given = cx_request_query(im->req, "name");
	struct cx_oci_source source = cx_spool_source(im->spool);

	if (report->kind == CX_REPORT_ROOTFS) {
		im->plan.nlayers = 1;
		cx_spool_free(im->spool);
		im->spool = NULL;
		im->skipped = 0;
	} else {
		if (im->spool->err.errnum != 0) {
			*err = im->spool->err;
			return -err->errnum;
		}
		if (cx_oci_read(&source, given != NULL ? given : "", &im->plan, err) < 0 ||
		    check_files(im, err) < 0)
			return -err->errnum;
		cx_close(&im->archive);
	}
	if (given == NULL && im->plan.name[0] == '\0')
		return cx_refuse(err, CX_INVALID,
				 "the archive gives no name to its image; give one as 'name'");
	return given != NULL
		       ? 0
		       : cx_image_name(im->plan.name, "name", im->gw->host.registry, im->name, err);
}

static void scanned(struct cx_import *im)
{
	struct cx_report report = { 0 };
	struct cx_err err;

	if (scan_result(im, &report, &err) < 0 || make_plan(im, &report, &err) < 0) {
		fail(im, &err);
		return;
	}
	layer_next(im);
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

static int scan(struct cx_import *im, struct cx_err *err)
{
	cx_autofd int entries = -EBADF, report = -EBADF;
	int fds[3] = { im->archive, -EBADF, -EBADF };

	if (cx_spool_new(im->gw->state_dir, layer_bytes_max, &im->spool, err) < 0)
		return -err->errnum;
	if (lseek(im->archive, 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "rewind the upload");
	im->pending = 1;
	im->step = scanned;
	if (open_reader(im, &im->readers[0], take_entries, &entries, err) < 0 ||
	    open_reader(im, &im->readers[1], take_report, &report, err) < 0)
		return -err->errnum;
	fds[1] = entries;
	fds[2] = report;
	im->call.done = on_scanned;
	return cx_engine_scan(im->gw->engine, fds, &im->call, err);
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
	if (scan(im, &err) == 0)
		return;
	im->step = never;
	fail(im, &err);
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
	return 0;
}

/* "" when the client leaves the name to the archive. */
static int check_request(struct cx_request *req, char ret_name[CX_IMAGE_NAME_MAX + 1],
			 struct cx_err *err)
{
	const char *given = cx_request_query(req, "name");

	if (req->body_bytes == 0)
		return cx_refuse(err, CX_INVALID, "the body is empty; it must be an archive");
	ret_name[0] = '\0';
	return given == NULL
		       ? 0
		       : cx_image_name(given, "name", req->gateway->host.registry, ret_name, err);
}

void cx_handle_image_import(struct cx_request *req)
{
	char name[CX_IMAGE_NAME_MAX + 1];
	struct cx_import *im = NULL;
	struct cx_err err;

	if (check_request(req, name, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	im = calloc(1, sizeof *im);
	if (im == NULL) {
		(void)cx_fail(&err, ENOMEM, "import");
		cx_request_fail(req, &err);
		return;
	}
	im->gw = req->gateway;
	im->req = req;
	im->holders = 1;
	(void)strcpy(im->name, name);
	im->archive = cx_take_fd(&req->body_fd);
	if (enqueue(im->gw, im, &err) < 0) {
		cx_request_fail(req, &err);
		release(im);
		return;
	}
	start_next(im->gw);
}
