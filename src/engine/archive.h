/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_ARCHIVE_H
#define CX_ENGINE_ARCHIVE_H

#include "engine/build.h"
#include "engine/sandbox.h"

/*
 * Trees as tar archives: the layers of an image as a sandbox would see them, or what a sandbox has
 * written. A worker walks the tree, another one packs what it says; caissond makes the mount that
 * the first one sees, and reads nothing of it.
 *
 * A sandbox stands still from before its tree is mounted until both workers have ended. It is let
 * go on whatever happens: when a worker fails, when the gateway is lost, when the sandbox is to
 * end, and by the next caissond if this one dies (engine/freezer.c). One that is paused stays so.
 */
enum { CX_FREEZE_MS = 10000, CX_FREEZE_LOOK_MS = 1 };

struct cx_commit;
struct cx_archives {
	struct cx_sandboxes *sandboxes;
	struct cx_builds *builds;
	struct cx_commit *first;
};

void cx_archives_open(struct cx_archives *ret, struct cx_sandboxes *sandboxes,
		      struct cx_builds *builds);
/* Ends all; their callbacks do not come. To be called before cx_builds_close(). */
void cx_archives_close(struct cx_archives *archives);

/*
 * fds: the archive, to be written, then a report of each worker; taken over (left -EBADF) in any
 * case. done() as of a build, with token and size 0. layers: diff ids, lowest first.
 */
CX_MUST int cx_archive_export(struct cx_archives *archives, const uint8_t *layers, unsigned nlayers,
			      const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
			      void *arg, uint64_t tag, struct cx_err *err);
/* Of a RUNNING sandbox, one at a time. */
CX_MUST int cx_archive_commit(struct cx_archives *archives, struct cx_sandbox *sb,
			      const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
			      void *arg, uint64_t tag, struct cx_err *err);

#endif
