/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch_inner.h"

#include <string.h>

/* A build's tag is the request number; builds do not outlive the gateway that asked for them. */
static void built(void *arg, uint64_t tag, uint64_t token, uint64_t size, const struct cx_err *err)
{
	struct cx_dispatch *d = arg;
	struct cx_asker asker = cx_asker_of_tag(d, tag);

	if (err != NULL)
		cx_answer_error(d, asker, err);
	else
		CX_ANSWER(d, asker, layer_built, -EBADF, .token = token, .size_bytes = size);
}

/* Workers that leave no layer behind: what they found they have told by themselves. */
#define WORKER_ENDED(name)                                                       \
	static void name(void *arg, uint64_t tag, uint64_t token, uint64_t size, \
			 const struct cx_err *err)                               \
	{                                                                        \
		struct cx_dispatch *d = arg;                                     \
		struct cx_asker asker = cx_asker_of_tag(d, tag);                 \
                                                                                 \
		(void)token;                                                     \
		(void)size;                                                      \
		if (err != NULL)                                                 \
			cx_answer_error(d, asker, err);                          \
		else                                                             \
			CX_ANSWER_EMPTY(d, asker, name);                         \
	}
WORKER_ENDED(scanned)
WORKER_ENDED(fetched)
WORKER_ENDED(layer_checked)
WORKER_ENDED(archived)

int cx_do_layer_build(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		      int *fds, struct cx_err *err)
{
	struct cx_build_limits limits = { .max_bytes = m->layer_build.max_bytes,
					  .max_entries = m->layer_build.max_entries,
					  .blob_is_known = m->layer_build.blob_is_known != 0 };

	if (limits.max_bytes == 0 || limits.max_entries == 0)
		return cx_refuse(err, CX_INVALID, "a layer of no bytes or no entries");
	return cx_build_layer(d->builds, &limits, fds, built, d, asker.request, err);
}

int cx_do_scan(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
	       struct cx_err *err)
{
	(void)m;
	return cx_build_scan(d->builds, fds, scanned, d, asker.request, err);
}

int cx_do_fetch(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	(void)m;
	return cx_build_fetch(d->builds, &fds[0], fetched, d, asker.request, err);
}

static int archive_limits(uint64_t max_bytes, uint32_t max_entries, struct cx_build_limits *ret,
			  struct cx_err *err)
{
	*ret = (struct cx_build_limits){ .max_bytes = max_bytes, .max_entries = max_entries };
	if (max_bytes == 0 || max_entries == 0)
		return cx_refuse(err, CX_INVALID, "an archive of no bytes or no entries");
	return 0;
}

int cx_do_export(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	const struct cx_msg_export *e = &m->export;
	struct cx_build_limits limits;

	if (archive_limits(e->max_bytes, e->max_entries, &limits, err) < 0)
		return -err->errnum;
	if (e->layers.len % CX_DIFF_ID != 0)
		return cx_refuse(err, CX_INVALID, "%u bytes of layer ids", e->layers.len);
	return cx_archive_export(d->archives, (const uint8_t *)e->layers.p,
				 e->layers.len / CX_DIFF_ID, &limits, fds, archived, d,
				 asker.request, err);
}

int cx_do_commit(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	struct cx_sandbox *sb = cx_dispatch_find(d, m->commit.id, err);
	struct cx_build_limits limits;

	if (sb == NULL ||
	    archive_limits(m->commit.max_bytes, m->commit.max_entries, &limits, err) < 0)
		return -err->errnum;
	if (m->commit.layers.len != sb->record.nlayers * CX_DIFF_ID ||
	    memcmp(m->commit.layers.p, sb->record.layers, m->commit.layers.len) != 0)
		return cx_refuse(err, CX_CONFLICT,
				 "the image that the sandbox was made from is another one now");
	return cx_archive_commit(d->archives, sb, &limits, fds, archived, d, asker.request, err);
}

int cx_do_bundle(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	(void)m;
	return cx_build_bundle(d->builds, fds, archived, d, asker.request, err);
}

static const uint8_t *layer_id(struct cx_str id, struct cx_err *err)
{
	if (id.len == CX_DIFF_ID)
		return (const uint8_t *)id.p;
	(void)cx_refuse(err, CX_INVALID, "a layer id of %u bytes", id.len);
	return NULL;
}

int cx_do_layer_commit(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		       int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_commit.id, err);

	(void)fds;
	if (id == NULL || cx_build_commit(d->builds, m->layer_commit.token, id, err) < 0)
		return -err->errnum;
	CX_ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

int cx_do_layer_check(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		      int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_check.id, err);

	if (id == NULL)
		return -err->errnum;
	return cx_build_check(d->builds, m->layer_check.token, id, &fds[0], layer_checked, d,
			      asker.request, err);
}

int cx_do_layer_abort(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		      int *fds, struct cx_err *err)
{
	(void)fds;
	if (cx_build_abort(d->builds, m->layer_abort.token, err) < 0)
		return -err->errnum;
	CX_ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

int cx_do_layer_remove(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		       int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_remove.id, err);

	(void)fds;
	if (id == NULL || cx_layers_remove(&d->host->layers, id, err) < 0)
		return -err->errnum;
	CX_ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

int cx_do_layer_stat(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		     int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_stat.id, err);
	uint64_t size = 0;
	uint32_t users = 0;

	(void)fds;
	if (id == NULL || cx_layers_stat(&d->host->layers, id, &size, &users, err) < 0)
		return -err->errnum;
	CX_ANSWER(d, asker, layer_info, -EBADF, .size_bytes = size, .users = users);
	return 0;
}
