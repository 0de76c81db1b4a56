/* SPDX-License-Identifier: Apache-2.0 */
#include "api/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/digest.h"
#include "api/intake.h"
#include "api/sweep.h"
#include "api/transfer.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "image/ref.h"

/*
 *	documents	reading the image (image/oci.h) says which document it misses; that one is
 *			fetched, and it is read again, until none is missing
 *	layers		an intake builds those that the store has not, from pipes that downloads
 *			fill; blobs of layers that it has are fetched, too, if they are not there
 *	record		when all layers and all blobs are in the store
 */
enum {
	DOCUMENTS_MAX = 8, /* list, indexes, manifest, configuration */
	GRACE_MS = 1000,   /* a layer's reader sees the end of a broken download before us */
};
static const uint64_t reserve_bytes = (uint64_t)64 << 20; /* of disk, left to everybody else */

struct document {
	uint8_t id[32];
	struct cx_buf bytes;
};

struct download { /* of a layer's blob */
	struct cx_pull *pull;
	struct cx_transfer_call call;
	int file;     /* -EBADF: not under way */
	bool partial; /* it has a name to go on with */
	bool there;   /* in the blob store */
	enum cx_pull_phase phase;
	uint64_t bytes;
};

struct cx_pull {
	struct cx_gateway *gw;
	struct cx_ref ref;
	char name[CX_REF_MAX + 1];
	char platform[CX_OCI_PLATFORM_MAX + 1];
	bool shared;
	struct cx_pull_waiter *waiters;
	struct cx_pull *next, **link;
	struct cx_transfer *transfer;
	struct cx_intake *intake;

	struct cx_transfer_call call; /* of a document */
	int file;		      /* that it is written to */
	struct cx_buf list;	      /* an index.json of our own that names what the tag means */
	struct document documents[DOCUMENTS_MAX];
	unsigned ndocuments;
	bool missing; /* a document, when the image was read last */
	enum cx_oci_document missing_what;
	uint8_t missing_id[32];
	uint64_t missing_bytes;

	bool layers_there;
	bool over; /* those who wait are being told */
	struct download downloads[CX_OCI_LAYERS_MAX];
	struct cx_err why; /* of a failure that may have a better explanation */
	struct cx_timer timer;
};

static void read_image(struct cx_pull *pull);

/* ---- memory and ends ------------------------------------------------------------------------ */

static struct cx_oci_layer *planned(const struct download *d)
{
	return &cx_intake_plan(d->pull->intake)->layers[d - d->pull->downloads];
}

/* What has come stays for the next pull, if it is anything. */
static void forget(struct download *d)
{
	struct stat st;

	if (d->partial && d->file >= 0 && fstat(d->file, &st) == 0 && st.st_size == 0)
		cx_blob_give_up(&d->pull->gw->blobs, planned(d)->blob_id);
	cx_close(&d->file);
}

/* Ends what is under way; nobody can find or join it any more. */
static void dismantle(struct cx_pull *pull)
{
	cx_list_remove(pull);
	cx_timer_clear(&pull->timer);
	for (unsigned i = 0; i < CX_LEN(pull->downloads); i++)
		forget(&pull->downloads[i]);
	cx_intake_free(pull->intake);
	cx_transfer_close(pull->transfer);
	cx_close(&pull->file);
	cx_buf_free(&pull->list);
	for (unsigned i = 0; i < pull->ndocuments; i++)
		cx_buf_free(&pull->documents[i].bytes);
}

static void free_pull(struct cx_pull *pull)
{
	dismantle(pull);
	free(pull);
}

/* Who is told may start the next pull, and others of those who wait may leave. */
static void finish(struct cx_pull *pull, const struct cx_image_row *image, const struct cx_err *err)
{
	struct cx_gateway *gw = pull->gw;
	struct cx_err kept = { 0 };

	if (err != NULL) {
		kept = *err;
		cx_log_err(CX_LOG_WARNING, err, "pull failed", "image", pull->name, NULL);
	} else {
		cx_log(CX_LOG_INFO, "image pulled", "image", pull->name, NULL);
	}
	dismantle(pull);
	pull->over = true;
	while (pull->waiters != NULL) {
		struct cx_pull_waiter *waiter = pull->waiters;

		pull->waiters = waiter->next;
		waiter->pull = NULL;
		waiter->done(waiter, image, err != NULL ? &kept : NULL);
	}
	free(pull);
	if (err == NULL)
		cx_store_sweep(gw); /* of what had the name before */
}

static void fail(struct cx_pull *pull, const struct cx_err *err)
{
	struct cx_err full = *err;

	(void)cx_wrap(&full, "pull '%.200s'", pull->name);
	finish(pull, NULL, &full);
}

static void tell(struct cx_pull *pull, unsigned layer)
{
	const struct cx_oci_layer *plan = &cx_intake_plan(pull->intake)->layers[layer];
	const struct download *d = &pull->downloads[layer];
	struct cx_pull_event event = { .layer = layer,
				       .blob_id = plan->blob_id,
				       .phase = d->phase,
				       .bytes = d->bytes,
				       .total = plan->blob_bytes };

	for (struct cx_pull_waiter *w = pull->waiters; w != NULL; w = w->next)
		if (w->event != NULL)
			w->event(w, &event);
}

static void enter(struct cx_pull *pull, unsigned layer, enum cx_pull_phase phase)
{
	pull->downloads[layer].phase = phase;
	tell(pull, layer);
}

static const char *const phase_names[CX_PULL_PHASE_MAX] = {
	[CX_PULL_EXISTS] = "exists",
	[CX_PULL_WAITING] = "waiting",
	[CX_PULL_DOWNLOADING] = "downloading",
	[CX_PULL_UNPACKING] = "unpacking",
	[CX_PULL_DONE] = "done",
};

const char *cx_pull_phase_name(enum cx_pull_phase phase)
{
	return phase_names[phase];
}

/* ---- blobs ---------------------------------------------------------------------------------- */

/* The record, once the last layer is built and the last blob has come. */
static void finish_if_complete(struct cx_pull *pull)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	unsigned nlayers = cx_intake_plan(pull->intake)->nlayers;
	struct cx_err err;

	for (unsigned i = 0; i < nlayers; i++)
		if (!pull->downloads[i].there)
			return;
	if (!pull->layers_there)
		return;
	if (cx_intake_record(pull->intake, pull->name, &image, &err) < 0)
		fail(pull, &err);
	else
		finish(pull, &image, NULL);
}

static int keep(struct download *d, struct cx_err *err)
{
	const struct cx_blobs *blobs = &d->pull->gw->blobs;
	const uint8_t *id = planned(d)->blob_id;

	return d->partial ? cx_blob_arrived(blobs, id, err) : cx_blob_keep(blobs, d->file, id, err);
}

static void on_blob(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
		    const struct cx_err *err)
{
	struct download *d = cx_container_of(call, struct download, call);
	struct cx_pull *pull = d->pull;
	unsigned layer = (unsigned)(d - pull->downloads);
	struct cx_err failed;

	(void)answer;
	if (err != NULL || keep(d, &failed) < 0) {
		char digest[CX_REF_DIGEST_LEN + 1];

		failed = err != NULL ? *err : failed;
		cx_ref_digest(planned(d)->blob_id, digest);
		(void)cx_wrap(&failed, "layer %u (%.19s)", layer + 1, digest);
		fail(pull, &failed);
		return;
	}
	cx_close(&d->file);
	d->there = true;
	d->bytes = planned(d)->blob_bytes;
	if (d->phase == CX_PULL_DOWNLOADING)
		enter(pull, layer, pull->layers_there ? CX_PULL_DONE : CX_PULL_UNPACKING);
	finish_if_complete(pull);
}

static void on_progress(struct cx_transfer_call *call, uint64_t bytes, uint64_t total)
{
	struct download *d = cx_container_of(call, struct download, call);

	(void)total;
	d->bytes = bytes;
	tell(d->pull, (unsigned)(d - d->pull->downloads));
}

bool cx_pull_is_loading(const struct cx_gateway *gw, const uint8_t blob_id[32])
{
	for (const struct cx_pull *pull = gw->pulls; pull != NULL; pull = pull->next)
		for (unsigned i = 0; i < CX_LEN(pull->downloads); i++)
			if (pull->downloads[i].partial && pull->downloads[i].file >= 0 &&
			    memcmp(planned(&pull->downloads[i])->blob_id, blob_id, 32) == 0)
				return true;
	return false;
}

/* pipe: gets the bytes too, or -EBADF. */
static int download(struct download *d, int pipe, struct cx_err *err)
{
	const struct cx_oci_layer *plan = planned(d);
	struct cx_pull *pull = d->pull;
	const struct cx_blobs *blobs = &pull->gw->blobs;
	/* Two pulls must not go on with one file; the second one fetches the blob for itself. */
	bool partial = !cx_pull_is_loading(pull->gw, plan->blob_id);
	uint64_t offset = 0;

	if ((partial ? cx_blob_resume(blobs, plan->blob_id, &d->file, &offset, err)
		     : cx_blob_new(blobs, &d->file, err)) < 0)
		return -err->errnum;
	d->partial = partial;
	if (offset > plan->blob_bytes)
		offset = 0;
	d->bytes = offset;
	d->call.done = on_blob;
	d->call.progress = on_progress;
	return cx_transfer_blob(pull->transfer, pull->ref.repository, plan->blob_id,
				plan->blob_bytes, offset, d->file, pipe, &d->call, err);
}

/* ---- layers --------------------------------------------------------------------------------- */

static int layer_open(void *arg, unsigned layer, int *ret_fd, struct cx_err *err)
{
	struct cx_pull *pull = arg;
	struct download *d = &pull->downloads[layer];
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	uint64_t size;

	if (d->there)
		return cx_blob_open(&pull->gw->blobs, planned(d)->blob_id, ret_fd, &size, err);
	if (cx_pipe(&ours, &theirs, err) < 0 || download(d, theirs, err) < 0)
		return -err->errnum;
	*ret_fd = cx_take_fd(&ours);
	return 0;
}

static void on_phase(void *arg, unsigned layer, enum cx_intake_phase phase)
{
	static const enum cx_pull_phase phases[] = { [CX_INTAKE_EXISTS] = CX_PULL_EXISTS,
						     [CX_INTAKE_UNPACKING] = CX_PULL_UNPACKING,
						     [CX_INTAKE_DONE] = CX_PULL_DONE };
	struct cx_pull *pull = arg;
	bool coming = phase == CX_INTAKE_UNPACKING && !pull->downloads[layer].there;

	enter(pull, layer, coming ? CX_PULL_DOWNLOADING : phases[phase]);
}

static void give_up(struct cx_timer *timer)
{
	struct cx_pull *pull = cx_container_of(timer, struct cx_pull, timer);

	fail(pull, &pull->why);
}

static bool is_downloading(const struct cx_pull *pull)
{
	for (unsigned i = 0; i < CX_LEN(pull->downloads); i++)
		if (pull->downloads[i].file >= 0)
			return true;
	return false;
}

/* Blobs of layers that need not be built are wanted all the same. */
static int download_rest(struct cx_pull *pull, struct cx_err *err)
{
	const struct cx_oci_image *plan = cx_intake_plan(pull->intake);

	for (unsigned i = 0; i < plan->nlayers; i++) {
		struct download *d = &pull->downloads[i];

		d->there = d->there || cx_blob_has(&pull->gw->blobs, plan->layers[i].blob_id);
		if (d->there || d->file >= 0)
			continue;
		if (download(d, -EBADF, err) < 0)
			return cx_wrap(err, "layer %u", i + 1);
		enter(pull, i, CX_PULL_DOWNLOADING);
	}
	return 0;
}

static void on_layers(void *arg, const struct cx_err *err)
{
	struct cx_pull *pull = arg;
	struct cx_err failed;

	if (err != NULL && is_downloading(pull)) {
		pull->why = *err;
		pull->timer.fire = give_up;
		cx_timer_set(pull->gw->loop, &pull->timer, GRACE_MS);
		return;
	}
	pull->layers_there = err == NULL;
	if (err != NULL || download_rest(pull, &failed) < 0)
		fail(pull, err != NULL ? err : &failed);
	else
		finish_if_complete(pull);
}

static const struct cx_intake_ops intake_ops = { .open = layer_open,
						 .phase = on_phase,
						 .layers = on_layers };

/* What is to come must fit beside a reserve; what it unpacks to is seen by who unpacks it. */
static int check_space(struct cx_pull *pull, struct cx_err *err)
{
	const struct cx_oci_image *plan = cx_intake_plan(pull->intake);
	uint64_t need = 0, have;

	for (unsigned i = 0; i < plan->nlayers; i++) {
		uint64_t bytes = pull->downloads[i].there ? 0 : plan->layers[i].blob_bytes;

		if (bytes > INT64_MAX - need)
			return cx_refuse(err, CX_INVALID, "its layers have more bytes than can be");
		need += bytes;
	}
	if (cx_blobs_free_bytes(&pull->gw->blobs, &have, err) < 0)
		return -err->errnum;
	if (need > 0 && (have < reserve_bytes || need > have - reserve_bytes))
		return cx_refuse(err, CX_LIMIT,
				 "its layers need %llu bytes; of the %llu that are free in the "
				 "state directory, %llu are kept back",
				 (unsigned long long)need, (unsigned long long)have,
				 (unsigned long long)reserve_bytes);
	return 0;
}

static void begin_layers(struct cx_pull *pull)
{
	const struct cx_oci_image *plan = cx_intake_plan(pull->intake);
	struct cx_err err;

	for (unsigned i = 0; i < plan->nlayers; i++)
		pull->downloads[i].there = cx_blob_has(&pull->gw->blobs, plan->layers[i].blob_id);
	if (check_space(pull, &err) < 0) {
		fail(pull, &err);
		return;
	}
	for (unsigned i = 0; i < plan->nlayers; i++)
		enter(pull, i, CX_PULL_WAITING);
	cx_intake_start(pull->intake, false);
}

/* ---- documents ------------------------------------------------------------------------------ */

static int note_missing(struct cx_pull *pull, enum cx_oci_document what, const uint8_t id[32],
			uint64_t bytes, struct cx_err *err)
{
	pull->missing = true;
	pull->missing_what = what;
	pull->missing_bytes = bytes;
	memcpy(pull->missing_id, id, 32);
	return cx_refuse(err, CX_NOT_FOUND, "a document is not here yet");
}

static bool is_list(void *arg, const char *file)
{
	(void)arg;
	return strcmp(file, "index.json") == 0;
}

/* For image/oci.h: what has come, what an earlier pull left in the store, or "missing". */
static int read_document(void *arg, enum cx_oci_document what, const char *file, uint64_t bytes,
			 struct cx_buf *ret, struct cx_err *err)
{
	static const char prefix[] = "blobs/sha256/";
	struct cx_pull *pull = arg;
	uint8_t id[32];

	if (what == CX_OCI_LIST)
		return cx_buf_add(ret, pull->list.p, pull->list.len, err);
	if (strncmp(file, prefix, sizeof prefix - 1) != 0 ||
	    !cx_from_hex(file + sizeof prefix - 1, id, 32))
		return cx_refuse(err, CX_INVALID, "no digest names it");
	if (bytes > CX_OCI_DOCUMENT_MAX)
		return cx_refuse(err, CX_INVALID, "it has %llu bytes; at most %d are read",
				 (unsigned long long)bytes, CX_OCI_DOCUMENT_MAX);
	for (unsigned i = 0; i < pull->ndocuments; i++)
		if (memcmp(pull->documents[i].id, id, 32) == 0)
			return cx_buf_add(ret, pull->documents[i].bytes.p,
					  pull->documents[i].bytes.len, err);
	if (cx_blob_read(&pull->gw->blobs, id, ret, err) == 0)
		return 0;
	ret->len = 0;
	return note_missing(pull, what, id, bytes, err);
}

static int take_document(struct cx_pull *pull, const struct cx_transfer_answer *answer,
			 struct cx_err *err)
{
	struct document *doc = &pull->documents[pull->ndocuments];
	char *place;
	ssize_t n;

	if (pull->ndocuments == DOCUMENTS_MAX)
		return cx_refuse(err, CX_INVALID, "an image of more than %d documents",
				 DOCUMENTS_MAX);
	if (answer->size > CX_OCI_DOCUMENT_MAX || lseek(pull->file, 0, SEEK_SET) < 0)
		return cx_refuse(err, CX_INTERNAL, "a document of %llu bytes",
				 (unsigned long long)answer->size);
	doc->bytes.max = CX_OCI_DOCUMENT_MAX;
	place = cx_buf_reserve(&doc->bytes, (size_t)answer->size, err);
	n = place != NULL ? cx_read_upto(pull->file, place, (size_t)answer->size, err) : -1;
	if (n < 0)
		return -err->errnum;
	doc->bytes.len = (size_t)n;
	pull->ndocuments++;
	return cx_digest_of(doc->bytes.p, doc->bytes.len, doc->id, err);
}

/* The first one is what the name means; its type is the server's word, which reading it checks. */
static int take_first(struct cx_pull *pull, const struct cx_transfer_answer *answer,
		      struct cx_err *err)
{
	const struct document *doc = &pull->documents[0];

	if (pull->ref.has_digest && memcmp(doc->id, pull->ref.digest, 32) != 0)
		return cx_refuse(err, CX_INVALID,
				 "what the registry sent does not have the digest of the name");
	return cx_oci_make_index(answer->media_type, doc->id, doc->bytes.len, &pull->list, err);
}

static int take_missing(const struct cx_pull *pull, struct cx_err *err)
{
	const struct document *doc = &pull->documents[pull->ndocuments - 1];

	if (memcmp(doc->id, pull->missing_id, 32) != 0 || doc->bytes.len != pull->missing_bytes)
		return cx_refuse(err, CX_INVALID,
				 "a document has another digest or size than its descriptor says");
	return 0;
}

static void on_document(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
			const struct cx_err *err)
{
	struct cx_pull *pull = cx_container_of(call, struct cx_pull, call);
	bool first = pull->ndocuments == 0;
	struct cx_err failed;

	if (err == NULL && take_document(pull, answer, &failed) == 0 &&
	    (first ? take_first(pull, answer, &failed) : take_missing(pull, &failed)) == 0) {
		read_image(pull);
		return;
	}
	fail(pull, err != NULL ? err : &failed);
}

static int fetch_document(struct cx_pull *pull, const char *reference, struct cx_err *err)
{
	cx_close(&pull->file);
	pull->call.done = on_document;
	if (cx_blob_new(&pull->gw->blobs, &pull->file, err) < 0)
		return -err->errnum;
	if (reference == NULL)
		return cx_transfer_blob(pull->transfer, pull->ref.repository, pull->missing_id,
					pull->missing_bytes, 0, pull->file, -EBADF, &pull->call,
					err);
	return cx_transfer_manifest(pull->transfer, pull->ref.repository, reference,
				    CX_OCI_DOCUMENT_MAX, pull->file, &pull->call, err);
}

static int fetch_missing(struct cx_pull *pull, struct cx_err *err)
{
	char digest[CX_REF_DIGEST_LEN + 1];

	cx_ref_digest(pull->missing_id, digest);
	return fetch_document(pull, pull->missing_what == CX_OCI_MANIFEST ? digest : NULL, err);
}

static void read_image(struct cx_pull *pull)
{
	const struct cx_oci_source source = { pull->platform, is_list, read_document, pull };
	struct cx_oci_image *plan = cx_intake_plan(pull->intake);
	struct cx_err err;

	pull->missing = false;
	if (cx_oci_read(&source, "", plan, &err) == 0)
		begin_layers(pull);
	else if (!pull->missing || fetch_missing(pull, &err) < 0)
		fail(pull, &err);
}

/* ---- beginning ------------------------------------------------------------------------------ */

static int begin(struct cx_pull *pull, const struct cx_login *login, struct cx_err *err)
{
	char digest[CX_REF_DIGEST_LEN + 1];

	if (cx_transfer_open_for(pull->gw, &pull->ref, login, &pull->transfer, err) < 0 ||
	    cx_intake_new(pull->gw, &intake_ops, pull, &pull->intake, err) < 0)
		return -err->errnum;
	cx_ref_digest(pull->ref.digest, digest);
	return fetch_document(pull, pull->ref.has_digest ? digest : pull->ref.tag, err);
}

static struct cx_pull *new_pull(struct cx_gateway *gw)
{
	struct cx_pull *pull = calloc(1, sizeof *pull);

	if (pull == NULL)
		return NULL;
	pull->gw = gw;
	pull->file = -EBADF;
	for (unsigned i = 0; i < CX_LEN(pull->downloads); i++)
		pull->downloads[i] = (struct download){ .pull = pull, .file = -EBADF };
	cx_list_add(&gw->pulls, pull);
	return pull;
}

static struct cx_pull *find_shared(const struct cx_gateway *gw, const char *name,
				   const char *platform)
{
	struct cx_pull *pull = gw->pulls;

	while (pull != NULL && (!pull->shared || strcmp(pull->name, name) != 0 ||
				strcmp(pull->platform, platform) != 0))
		pull = pull->next;
	return pull;
}

static void join(struct cx_pull *pull, struct cx_pull_waiter *waiter)
{
	waiter->pull = pull;
	waiter->next = pull->waiters;
	pull->waiters = waiter;
}

int cx_pull_start(struct cx_gateway *gw, const char *image, const char *platform,
		  const struct cx_login *login, struct cx_pull_waiter *waiter, struct cx_err *err)
{
	const char *registry = cx_registries_default(gw->registries);
	struct cx_pull *pull;
	struct cx_ref ref;
	char name[CX_REF_MAX + 1];

	if (platform == NULL)
		platform = CX_OCI_HOST_PLATFORM;
	if (cx_ref_parse(image, registry, &ref, err) < 0 ||
	    cx_oci_check_platform(platform, "platform", err) < 0)
		return -err->errnum;
	cx_ref_short(&ref, registry, name);
	pull = login == NULL ? find_shared(gw, name, platform) : NULL;
	if (pull != NULL) {
		join(pull, waiter);
		return 0;
	}
	pull = new_pull(gw);
	if (pull == NULL)
		return cx_fail(err, ENOMEM, "pull");
	pull->ref = ref;
	pull->shared = login == NULL;
	(void)strcpy(pull->name, name);
	(void)strcpy(pull->platform, platform);
	if (begin(pull, login, err) < 0) {
		free_pull(pull);
		return cx_wrap(err, "pull '%.200s'", name);
	}
	join(pull, waiter);
	return 0;
}

void cx_pull_leave(struct cx_pull_waiter *waiter)
{
	struct cx_pull *pull = waiter->pull;
	struct cx_pull_waiter **at;

	if (pull == NULL)
		return;
	waiter->pull = NULL;
	for (at = &pull->waiters; *at != waiter; at = &(*at)->next)
		;
	*at = waiter->next;
	if (pull->waiters == NULL && !pull->over) {
		cx_log(CX_LOG_INFO, "pull cancelled", "image", pull->name, NULL);
		free_pull(pull);
	}
}
