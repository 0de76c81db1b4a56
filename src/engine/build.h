/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_BUILD_H
#define CX_ENGINE_BUILD_H

#include "engine/child.h"
#include "engine/host.h"

/*
 * Image workers: caisson-image and caisson-fetch processes that see nothing of the host but the
 * descriptors they are given, each in namespaces and ids of its own; only those that speak with
 * registries share the host's network. caissond starts them, and keeps the unnamed layer file that
 * they wrote until it is named or dropped. It never reads a byte of archive or layer.
 */
enum cx_build_kind {
	CX_BUILD_IMAGE,
	CX_BUILD_SCAN,
	CX_BUILD_TRANSFER,
	CX_BUILD_ARCHIVE,
	CX_BUILD_COMMIT,
	CX_BUILD_KINDS
};
enum { CX_BUILDS_MAX = 64 }; /* of a kind: running, waiting and finished ones */

struct cx_build;
struct cx_builds {
	struct cx_host *host;
	struct cx_build *first;
	unsigned total[CX_BUILD_KINDS], running[CX_BUILD_KINDS];
	uint64_t last_token;
};

struct cx_build_limits {
	uint64_t max_bytes;
	uint32_t max_entries;
	bool blob_is_known; /* of a layer: the reader need not tell the archive's own digest */
};

/* Once. err NULL: done; token and size tell of the layer file (both 0 when it makes none). */
typedef void cx_build_done(void *arg, uint64_t tag, uint64_t token, uint64_t size,
			   const struct cx_err *err);

void cx_builds_open(struct cx_builds *ret, struct cx_host *host);
/* Ends all; their callbacks do not come. */
void cx_builds_close(struct cx_builds *builds);
bool cx_builds_busy(const struct cx_builds *builds);

/* fds: archive, the reader's report, the writer's report; taken over (left -EBADF). */
CX_MUST int cx_build_layer(struct cx_builds *builds, const struct cx_build_limits *limits,
			   int fds[3], cx_build_done *done, void *arg, uint64_t tag,
			   struct cx_err *err);
/* fds: archive, entry stream out, report. */
CX_MUST int cx_build_scan(struct cx_builds *builds, int fds[3], cx_build_done *done, void *arg,
			  uint64_t tag, struct cx_err *err);
/* sock: the worker's end; it lives until that is closed. Taken over (left -EBADF). */
CX_MUST int cx_build_fetch(struct cx_builds *builds, int *sock, cx_build_done *done, void *arg,
			   uint64_t tag, struct cx_err *err);

/*
 * Compares a finished layer with the one of that id; what came out is in the report. Both stay as
 * they are.
 */
CX_MUST int cx_build_check(struct cx_builds *builds, uint64_t token, const uint8_t id[CX_DIFF_ID],
			   int *report, cx_build_done *done, void *arg, uint64_t tag,
			   struct cx_err *err);
/* What ids the worker has that sees a tree. */
struct cx_build_ids {
	uint32_t uid_base;
	bool lent; /* they are a sandbox's; else they are released at the end */
};
/*
 * tree: a detached mount whose files have these ids; fds: the archive that is made of it, a report
 * of the worker that walks and of the one that packs. All are taken over in any case.
 */
CX_MUST int cx_build_archive(struct cx_builds *builds, int *tree, struct cx_build_ids ids,
			     const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
			     void *arg, uint64_t tag, struct cx_err *err);
/* fds: a socket (proto/bundle_msgs.h), the archive that is made of what comes there, a report. */
CX_MUST int cx_build_bundle(struct cx_builds *builds, int fds[3], cx_build_done *done, void *arg,
			    uint64_t tag, struct cx_err *err);

/* Names a finished layer, or drops it; either way its token is spent. */
CX_MUST int cx_build_commit(struct cx_builds *builds, uint64_t token, const uint8_t id[CX_DIFF_ID],
			    struct cx_err *err);
CX_MUST int cx_build_abort(struct cx_builds *builds, uint64_t token, struct cx_err *err);

#endif
