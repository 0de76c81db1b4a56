/* SPDX-License-Identifier: Apache-2.0 */
#include "api/push.h"

#include <errno.h>
#include <string.h>

#include "api/transfer.h"
#include "base/log.h"
#include "image/oci.h"
#include "image/ref.h"

struct upload {
	struct cx_push *push;
	struct cx_transfer_call call;
	int file;
	uint64_t size;
	const uint8_t *id;
	bool there;
};

struct cx_push {
	struct cx_gateway *gw;
	struct cx_image_row image;
	struct cx_ref ref;
	char name[CX_REF_MAX + 1], from[CX_REF_NAME_MAX + 1];
	const struct cx_push_ops *ops;
	void *arg;
	struct cx_transfer *transfer;
	struct upload uploads[CX_OCI_LAYERS_MAX + 1]; /* layers, configuration */
	unsigned n;
	struct cx_transfer_call call; /* of the manifest */
	int manifest;
};

static void free_push(struct cx_push *push)
{
	cx_transfer_close(push->transfer);
	for (unsigned i = 0; i < push->n; i++)
		cx_close(&push->uploads[i].file);
	cx_close(&push->manifest);
	cx_image_row_clear(&push->image);
	free(push);
}

static void finish(struct cx_push *push, const struct cx_err *err)
{
	const struct cx_push_ops *ops = push->ops;
	void *arg = push->arg;
	struct cx_err full = { 0 };

	if (err != NULL) {
		full = *err;
		(void)cx_wrap(&full, "push '%.200s'", push->name);
		cx_log_err(CX_LOG_WARNING, &full, "push failed", NULL);
	} else {
		cx_log(CX_LOG_INFO, "image pushed", "image", push->name, NULL);
	}
	free_push(push);
	ops->done(arg, err != NULL ? &full : NULL);
}

static void tell(struct upload *up, enum cx_push_phase phase, uint64_t bytes)
{
	struct cx_push *push = up->push;
	struct cx_push_event event = { .index = (unsigned)(up - push->uploads),
				       .blob_id = up->id,
				       .phase = phase,
				       .bytes = bytes,
				       .total = up->size };

	push->ops->event(push->arg, &event);
}

/* ---- the manifest, last: it names what must be there ---------------------------------------- */

static void on_manifest(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
			const struct cx_err *err)
{
	(void)answer;
	finish(cx_container_of(call, struct cx_push, call), err);
}

static int send_manifest(struct cx_push *push, struct cx_err *err)
{
	char digest[CX_REF_DIGEST_LEN + 1];
	uint64_t size;

	if (cx_blob_open(&push->gw->blobs, push->image.manifest_id, &push->manifest, &size, err) <
	    0)
		return -err->errnum;
	cx_ref_digest(push->image.manifest_id, digest);
	push->call.done = on_manifest;
	return cx_transfer_put_manifest(push->transfer, push->ref.repository,
					push->ref.tag[0] != '\0' ? push->ref.tag : digest,
					push->image.manifest_type, push->manifest, &push->call,
					err);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

static bool all_there(const struct cx_push *push)
{
	for (unsigned i = 0; i < push->n; i++)
		if (!push->uploads[i].there)
			return false;
	return true;
}

static void on_blob(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
		    const struct cx_err *err)
{
	struct upload *up = cx_container_of(call, struct upload, call);
	struct cx_push *push = up->push;
	struct cx_err failed;

	if (err != NULL) {
		finish(push, err);
		return;
	}
	cx_close(&up->file);
	up->there = true;
	tell(up, answer->how == CX_FETCH_MOVED ? CX_PUSH_DONE : CX_PUSH_EXISTS, up->size);
	if (all_there(push) && send_manifest(push, &failed) < 0)
		finish(push, &failed);
}

static void on_progress(struct cx_transfer_call *call, uint64_t bytes, uint64_t total)
{
	(void)total;
	tell(cx_container_of(call, struct upload, call), CX_PUSH_UPLOADING, bytes);
}

static int add_blob(struct cx_push *push, const uint8_t id[32], struct cx_err *err)
{
	struct upload *up = &push->uploads[push->n];

	for (unsigned i = 0; i < push->n; i++)
		if (memcmp(push->uploads[i].id, id, 32) == 0)
			return 0;
	*up = (struct upload){ .push = push,
			       .file = -EBADF,
			       .id = id,
			       .call = { .done = on_blob, .progress = on_progress } };
	push->n++;
	if (cx_blob_open(&push->gw->blobs, id, &up->file, &up->size, err) < 0)
		return cx_wrap(err, "it is not whole; pull or import it again");
	return cx_transfer_put_blob(push->transfer, push->ref.repository, id, up->size, push->from,
				    up->file, &up->call, err);
}

static int send_blobs(struct cx_push *push, struct cx_err *err)
{
	for (unsigned i = 0; i < push->image.nlayers; i++)
		if (add_blob(push, push->image.layers[i].blob_id, err) < 0)
			return -err->errnum;
	return add_blob(push, push->image.config_id, err);
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* A registry that has the image under the name it has here can copy its blobs by itself. */
static int find_names(struct cx_push *push, const char *to, struct cx_err *err)
{
	const char *registry = cx_registries_default(push->gw->registries);
	struct cx_ref from;

	if (cx_ref_parse(push->image.name, registry, &from, err) < 0 ||
	    cx_ref_parse(to != NULL ? to : push->image.name, registry, &push->ref, err) < 0)
		return -err->errnum;
	cx_ref_short(&push->ref, registry, push->name);
	if (strcmp(from.host, push->ref.host) == 0 &&
	    strcmp(from.repository, push->ref.repository) != 0)
		(void)strcpy(push->from, from.repository);
	if (push->ref.has_digest && memcmp(push->ref.digest, push->image.manifest_id, 32) != 0)
		return cx_refuse(err, CX_INVALID,
				 "the name has the digest of another image; give a tag alone");
	return 0;
}

static int begin(struct cx_push *push, const char *to, const struct cx_login *login,
		 struct cx_err *err)
{
	if (find_names(push, to, err) < 0 ||
	    cx_transfer_open_for(push->gw, &push->ref, login, &push->transfer, err) < 0 ||
	    send_blobs(push, err) < 0)
		return cx_wrap(err, "push '%.200s'", push->image.name);
	return 0;
}

int cx_push_start(struct cx_gateway *gw, struct cx_image_row *image, const char *to,
		  const struct cx_login *login, const struct cx_push_ops *ops, void *arg,
		  struct cx_push **ret, struct cx_err *err)
{
	struct cx_push *push = calloc(1, sizeof *push);

	if (push == NULL)
		return cx_fail(err, ENOMEM, "push");
	push->gw = gw;
	push->ops = ops;
	push->arg = arg;
	push->manifest = -EBADF;
	push->image = *image;
	if (begin(push, to, login, err) < 0) {
		push->image = (struct cx_image_row){ 0 }; /* still the caller's */
		free_push(push);
		return -err->errnum;
	}
	*image = (struct cx_image_row){ 0 };
	*ret = push;
	return 0;
}

void cx_push_cancel(struct cx_push *push)
{
	cx_log(CX_LOG_INFO, "push cancelled", "image", push->name, NULL);
	free_push(push);
}
