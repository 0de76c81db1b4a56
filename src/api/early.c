/* SPDX-License-Identifier: Apache-2.0 */
#include "api/early.h"

#include <errno.h>
#include <string.h>

#include "api/blobs.h"
#include "api/feed.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

enum {
	LAYER_MIN = (4 << 20) + 1, /* image/read.c takes no document of that size */
	BUILDS_MAX = 8,		   /* of one archive; all of them end before it does */
};

struct begun {
	const struct cx_spool_file *file;
	struct cx_feed *feed;
	struct cx_layer_build *build; /* NULL: taken */
};

struct cx_early {
	struct cx_gateway *gw;
	struct begun begun[BUILDS_MAX];
	unsigned n;
};

int cx_early_new(struct cx_gateway *gw, struct cx_early **ret, struct cx_err *err)
{
	struct cx_early *early = calloc(1, sizeof *early);

	if (early == NULL)
		return cx_fail(err, ENOMEM, "archive");
	early->gw = gw;
	*ret = early;
	return 0;
}

void cx_early_free(struct cx_early *early)
{
	if (early == NULL)
		return;
	for (unsigned i = 0; i < early->n; i++) {
		cx_feed_free(early->begun[i].feed);
		if (early->begun[i].build != NULL)
			cx_layer_build_drop(early->begun[i].build);
		free(early->begun[i].build);
	}
	free(early);
}

static struct begun *find(struct cx_early *early, const struct cx_spool_file *file)
{
	for (unsigned i = 0; i < early->n; i++)
		if (early->begun[i].file == file)
			return &early->begun[i];
	return NULL;
}

/* A layer whose blob is here most likely is, too. */
static bool is_known(const struct cx_early *early, const struct cx_spool_file *file)
{
	static const char blobs[] = "blobs/sha256/";
	uint8_t id[32];

	return strncmp(file->name, blobs, sizeof blobs - 1) == 0 &&
	       cx_from_hex(file->name + sizeof blobs - 1, id, sizeof id) &&
	       cx_blob_has(&early->gw->blobs, id);
}

static int begin(struct cx_early *early, const struct cx_spool_file *file, struct cx_err *err)
{
	struct begun *b = &early->begun[early->n];
	cx_autofree struct cx_layer_build *build = calloc(1, sizeof *build);
	cx_autofd int reader = -EBADF;

	if (build == NULL)
		return cx_fail(err, ENOMEM, "layer");
	build->blob_is_known = true; /* the spool finds it */
	if (cx_feed_new(early->gw->loop, file->fd, &reader, &b->feed, err) < 0)
		return -err->errnum;
	if (cx_layer_build_start(early->gw, build, &reader, err) < 0) {
		cx_feed_free(b->feed);
		return -err->errnum;
	}
	b->file = file;
	b->build = cx_take_ptr(&build);
	early->n++;
	return 0;
}

void cx_early_grown(struct cx_early *early, const struct cx_spool_file *file, uint64_t bytes)
{
	struct begun *b = find(early, file);
	struct cx_err err;

	if (b != NULL) {
		cx_feed_grown(b->feed, bytes, bytes == file->size);
		return;
	}
	if (bytes > 0 || file->size < LAYER_MIN || early->n == BUILDS_MAX || is_known(early, file))
		return;
	if (begin(early, file, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "layer not built early", NULL);
}

struct cx_layer_build *cx_early_take(struct cx_early *early, const struct cx_spool_file *file)
{
	struct begun *b = find(early, file);

	if (b == NULL || b->build == NULL || b->build->why.errnum != 0)
		return NULL;
	return cx_take_ptr(&b->build);
}
