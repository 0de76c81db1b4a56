/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_PATH_H
#define CX_BASE_PATH_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Opens a path that somebody else may be rearranging meanwhile, by openat2(2). Magic links are
 * never followed and O_CLOEXEC is added. Returns a descriptor.
 *
 * beneath: leaving the tree by "..", an absolute link or a mount point is an error (our own trees).
 * in_root: the tree counts as "/", as a sandbox sees its own (where /lib -> /usr/lib is normal).
 * within: the same, but mount points are gone through (a tree that its owner has put together).
 * no_links: beneath, and not even a link that stays inside (mount points, engine-made files).
 */
CX_MUST int cx_open_beneath(int dirfd, const char *path, int flags, mode_t mode,
			    struct cx_err *err);
CX_MUST int cx_open_within(int dirfd, const char *path, int flags, mode_t mode, struct cx_err *err);
CX_MUST int cx_open_in_root(int dirfd, const char *path, int flags, mode_t mode,
			    struct cx_err *err);
CX_MUST int cx_open_no_links(int dirfd, const char *path, int flags, mode_t mode,
			     struct cx_err *err);

/*
 * mkdir -p. Symbolic links are followed, but not those of /proc that lead to what a process has
 * open. An existing directory is fine. Returns an O_PATH descriptor.
 */
CX_MUST int cx_mkdir_p(const char *path, mode_t mode, struct cx_err *err);

#endif
