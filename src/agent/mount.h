/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_MOUNT_H
#define CX_AGENT_MOUNT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Mounts. Where somebody else has made the tree, a target is named below a directory that the
 * caller holds and reached without following a link, and what is seen there then is compared with
 * what was to be mounted.
 */

/* A detached mount of a fresh file system: options are pairs of key and value up to NULL. */
CX_MUST int cx_mount_new(const char *type, const char *const *options, unsigned attrs,
			 struct cx_err *err);

/* Fails unless the descriptor lies on a file system of this type (linux/magic.h). */
CX_MUST int cx_mount_check(int fd, uint64_t magic, const char *what, struct cx_err *err);

/*
 * By name, below the working directory, with one call each: for a tree in which nobody else has
 * made anything yet, so that a name is what it says. A fresh file system; what is at `from` once
 * more, with the attributes of the mount that it is seen through; attributes added to the mount at
 * `at`.
 */
CX_MUST int cx_mount_at(const char *type, const char *const *options, unsigned attrs,
			const char *at, struct cx_err *err);
CX_MUST int cx_mount_bind(const char *from, const char *at, struct cx_err *err);
CX_MUST int cx_mount_restrict(const char *at, unsigned attrs, struct cx_err *err);

/*
 * Opens (O_PATH) the directory `name` directly below dir, owned by us: what is missing is made, and
 * a link or file in its place is replaced, so that no image decides where a mount goes.
 */
CX_MUST int cx_mount_point(int dir, const char *name, mode_t mode, struct cx_err *err);

/*
 * Moves the mount that is at `name` directly below from to the same name directly below at, which
 * is a point as by cx_mount_point().
 */
CX_MUST int cx_mount_move(int from, int at, const char *name, struct cx_err *err);

#endif
