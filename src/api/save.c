/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/handlers.h"
#include "api/images.h"
#include "api/jsonw.h"
#include "api/outflow.h"
#include "api/sweep.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/ref.h"
#include "proto/bundle_msgs.h"

/*
 * Images as one archive: an OCI image layout and, for readers that know no layouts, the list of
 * "docker save" beside it. The documents and layers are those that the images came with, so that
 * whoever reads the archive finds the same digests. A worker packs them; it is handed one file
 * after the other, as it takes them.
 */
enum {
	IMAGES_MAX = 64,
	FILES_MAX = IMAGES_MAX * (CX_IMAGE_LAYERS_MAX + 2),
	DOCUMENT_MAX = 1 << 20,
	AHEAD_BYTES = 8 << 10, /* a few messages: no file is open long before its turn */
};

static const char index_type[] = "application/vnd.oci.image.index.v1+json";

struct document { /* one that is made for the archive */
	const char *name;
	struct cx_buf bytes;
};

struct save {
	struct cx_outflow out;
	struct cx_gateway *gw;
	struct cx_image_row images[IMAGES_MAX];
	unsigned nimages, holders;
	struct document documents[3];
	unsigned ndocuments;
	uint8_t (*blobs)[32]; /* in order, each once */
	unsigned nblobs, sent;
	struct cx_blob_hold hold;
	struct cx_source sock;
	struct cx_err err; /* the first thing wrong with the request */
};

/* ---- memory --------------------------------------------------------------------------------- */

static void free_save(struct save *s)
{
	cx_blobs_let_go(&s->gw->blobs, &s->hold);
	if (s->hold.wanted)
		cx_store_sweep(s->gw);
	for (unsigned i = 0; i < s->nimages; i++)
		cx_image_row_clear(&s->images[i]);
	for (unsigned i = 0; i < s->ndocuments; i++)
		cx_buf_free(&s->documents[i].bytes);
	free(s->blobs);
	free(s);
}

static void release(struct save *s)
{
	if (--s->holders == 0)
		free_save(s);
}

static void sock_destroyed(struct cx_source *sock)
{
	release(cx_container_of(sock, struct save, sock));
}

static void ended(struct cx_outflow *out)
{
	struct save *s = cx_container_of(out, struct save, out);

	cx_loop_drop(s->gw->loop, &s->sock);
	release(s);
}

/* ---- which blobs ---------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static void add_blob(struct save *s, const uint8_t id[32])
{
	memcpy(s->blobs[s->nblobs++], id, 32);
}

static int collect_blobs(struct save *s, struct cx_err *err)
{
	unsigned n = 0;

	s->blobs = calloc(FILES_MAX, sizeof s->blobs[0]);
	if (s->blobs == NULL)
		return cx_fail(err, ENOMEM, "archive");
	for (unsigned i = 0; i < s->nimages; i++) {
		const struct cx_image_row *image = &s->images[i];

		add_blob(s, image->manifest_id);
		add_blob(s, image->config_id);
		for (unsigned k = 0; k < image->nlayers; k++)
			add_blob(s, image->layers[k].blob_id);
	}
	qsort(s->blobs, s->nblobs, sizeof s->blobs[0], compare_ids);
	for (unsigned i = 0; i < s->nblobs; i++)
		if (n == 0 || memcmp(s->blobs[n - 1], s->blobs[i], 32) != 0)
			memmove(s->blobs[n++], s->blobs[i], 32);
	s->nblobs = n;
	s->hold = (struct cx_blob_hold){ .ids = s->blobs, .n = n };
	cx_blobs_hold(&s->gw->blobs, &s->hold);
	for (unsigned i = 0; i < s->nblobs; i++) {
		char hex[2 * 32 + 1];

		cx_to_hex(s->blobs[i], 32, hex);
		if (!cx_blob_has(&s->gw->blobs, s->blobs[i]))
			return cx_refuse(err, CX_CONFLICT,
					 "blob sha256:%s is missing; \"image verify --repair\" may "
					 "get it back",
					 hex);
	}
	return 0;
}

/* ---- documents ------------------------------------------------------------------------------ */

static void write_id(struct cx_jsonw *w, const char *key, const char *before, const uint8_t id[32])
{
	char text[16 + 64 + 1];
	size_t len = strlen(before);

	memcpy(text, before, len);
	cx_to_hex(id, 32, text + len);
	cx_jsonw_text(w, key, text);
}

static void write_layout(struct cx_jsonw *w, const struct save *s)
{
	(void)s;
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "imageLayoutVersion", "1.0.0");
	cx_jsonw_end(w);
}

/* The whole name: what a name leaves out is completed differently elsewhere. */
static void write_names(struct cx_jsonw *w, const struct cx_image_row *image, const char *registry)
{
	char full[CX_REF_MAX + 1];
	struct cx_err ignored;
	struct cx_ref ref;

	if (cx_ref_parse(image->name, registry, &ref, &ignored) < 0)
		return;
	cx_ref_full(&ref, full);
	cx_jsonw_object(w, "annotations");
	cx_jsonw_text(w, "io.containerd.image.name", full);
	cx_jsonw_text(w, "org.opencontainers.image.ref.name", full);
	cx_jsonw_end(w);
}

static void write_index(struct cx_jsonw *w, const struct save *s)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_int(w, "schemaVersion", 2);
	cx_jsonw_text(w, "mediaType", index_type);
	cx_jsonw_array(w, "manifests");
	for (unsigned i = 0; i < s->nimages; i++) {
		const struct cx_image_row *image = &s->images[i];
		uint64_t size = 0;
		struct cx_err ignored;
		cx_autofd int fd = -EBADF;

		(void)!cx_blob_open(&s->gw->blobs, image->manifest_id, &fd, &size, &ignored);
		cx_jsonw_object(w, NULL);
		cx_jsonw_text(w, "mediaType", image->manifest_type);
		write_id(w, "digest", "sha256:", image->manifest_id);
		cx_jsonw_int(w, "size", (int64_t)size);
		write_names(w, image, s->gw->host.registry);
		cx_jsonw_end(w);
	}
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

static void write_list(struct cx_jsonw *w, const struct save *s)
{
	static const char blobs[] = "blobs/sha256/";

	cx_jsonw_array(w, NULL);
	for (unsigned i = 0; i < s->nimages; i++) {
		const struct cx_image_row *image = &s->images[i];

		cx_jsonw_object(w, NULL);
		write_id(w, "Config", blobs, image->config_id);
		cx_jsonw_array(w, "RepoTags");
		if (strchr(image->name, '@') == NULL) /* a digest is no tag */
			cx_jsonw_text(w, NULL, image->name);
		cx_jsonw_end(w);
		cx_jsonw_array(w, "Layers");
		for (unsigned k = 0; k < image->nlayers; k++)
			write_id(w, NULL, blobs, image->layers[k].blob_id);
		cx_jsonw_end(w);
		cx_jsonw_end(w);
	}
	cx_jsonw_end(w);
}

static const struct {
	const char *name;
	void (*write)(struct cx_jsonw *w, const struct save *s);
	bool docker_only;
} documents[] = {
	{ "oci-layout", write_layout, false },
	{ "index.json", write_index, false },
	{ "manifest.json", write_list, true },
};

static int make_documents(struct save *s, bool docker, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(documents); i++) {
		struct document *doc = &s->documents[s->ndocuments];
		struct cx_jsonw w = { .out = &doc->bytes };

		if (documents[i].docker_only && !docker)
			continue;
		doc->name = documents[i].name;
		doc->bytes.max = DOCUMENT_MAX;
		s->ndocuments++;
		documents[i].write(&w, s);
		if (cx_jsonw_finish(&w, err) < 0)
			return -err->errnum;
	}
	return 0;
}

/* ---- handing over --------------------------------------------------------------------------- */

static int open_document(const struct save *s, const struct document *doc, int *ret,
			 struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	if (cx_blob_new(&s->gw->blobs, &fd, err) < 0 ||
	    cx_write_all(fd, doc->bytes.p, doc->bytes.len, err) < 0)
		return -err->errnum;
	*ret = cx_take_fd(&fd);
	return 0;
}

static int send_file(struct save *s, const char *name, int fd, struct cx_err *err)
{
	const struct cx_msg_bundle_file m = { .name = cx_str_of(name) };

	return cx_msg_bundle_file_send(s->sock.fd, s->sent + 1, &m, &fd, 1, err);
}

static int send_next(struct save *s, struct cx_err *err)
{
	const struct cx_msg_bundle_end end = { .files = s->ndocuments + s->nblobs };
	char name[16 + 64 + 1] = "blobs/sha256/";
	cx_autofd int fd = -EBADF;
	uint64_t size;

	if (s->sent == end.files)
		return cx_msg_bundle_end_send(s->sock.fd, s->sent + 1, &end, NULL, 0, err);
	if (s->sent < s->ndocuments) {
		const struct document *doc = &s->documents[s->sent];

		return open_document(s, doc, &fd, err) < 0 ? -err->errnum
							   : send_file(s, doc->name, fd, err);
	}
	cx_to_hex(s->blobs[s->sent - s->ndocuments], 32, name + strlen(name));
	if (cx_blob_open(&s->gw->blobs, s->blobs[s->sent - s->ndocuments], &fd, &size, err) < 0)
		return -err->errnum;
	return send_file(s, name, fd, err);
}

/* As much as the worker's socket takes; when it closes early, the worker ends without an archive.
 */
static void sock_ready(struct cx_source *sock, uint32_t events)
{
	struct save *s = cx_container_of(sock, struct save, sock);
	struct cx_err err;
	int r = 0;

	(void)events;
	while (r == 0 && s->sent <= s->ndocuments + s->nblobs) {
		r = send_next(s, &err);
		s->sent += r == 0;
	}
	if (r != -EAGAIN)
		cx_loop_drop(s->gw->loop, sock);
}

/* ---- the request ---------------------------------------------------------------------------- */

static void take_image(const char *value, void *arg)
{
	struct save *s = arg;

	if (s->err.errnum != 0)
		return;
	if (s->nimages == IMAGES_MAX)
		(void)cx_refuse(&s->err, CX_INVALID, "more than %d images", IMAGES_MAX);
	else if (cx_image_find(s->gw, value, "image", &s->images[s->nimages], &s->err) == 0)
		s->nimages++;
}

static int parse(struct save *s, const struct cx_request *req, struct cx_err *err)
{
	const char *format = cx_request_query(req, "format");
	bool docker = format != NULL && strcmp(format, "docker") == 0;

	if (format != NULL && !docker && strcmp(format, "oci") != 0)
		return cx_refuse(err, CX_INVALID, "'format' must be oci or docker");
	cx_request_query_each(req, "image", take_image, s);
	if (s->err.errnum == 0 && s->nimages == 0)
		(void)cx_refuse(&s->err, CX_INVALID, "'image' is needed: which one");
	if (s->err.errnum != 0) {
		*err = s->err;
		return -err->errnum;
	}
	return collect_blobs(s, err) < 0 ? -err->errnum : make_documents(s, docker, err);
}

static int ask(struct save *s, int pipe, int report, struct cx_err *err)
{
	cx_autofd int theirs = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "make a socket");
	theirs = pair[1];
	s->sock =
		(struct cx_source){ .fd = pair[0], .ready = sock_ready, .destroy = sock_destroyed };
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){ AHEAD_BYTES }, sizeof(int));
	if (cx_set_nonblock(pair[0], true, err) < 0 ||
	    cx_loop_add(s->gw->loop, &s->sock, EPOLLOUT, err) < 0) {
		cx_close(&s->sock.fd);
		return -err->errnum;
	}
	s->holders++;
	return cx_engine_bundle(s->gw->engine, (int[]){ theirs, pipe, report },
				&s->out.workers.call, err);
}

static int start(struct save *s, struct cx_request *req, struct cx_err *err)
{
	cx_autofd int pipe = -EBADF, report = -EBADF;
	int fds[2] = { -EBADF, -EBADF };

	s->out.ended = ended;
	s->holders = 1;
	if (parse(s, req, err) < 0 || cx_outflow_open(&s->out, req, 1, fds, err) < 0)
		return -err->errnum;
	pipe = fds[0];
	report = fds[1];
	if (ask(s, pipe, report, err) < 0)
		cx_outflow_fail(&s->out, err);
	return 0;
}

void cx_handle_image_save(struct cx_request *req)
{
	struct save *s = calloc(1, sizeof *s);
	struct cx_err err;

	if (s == NULL)
		(void)cx_fail(&err, ENOMEM, "archive");
	else
		s->gw = req->gateway;
	if (s != NULL && start(s, req, &err) == 0)
		return;
	cx_request_fail(req, &err);
	if (s != NULL)
		free_save(s);
}
