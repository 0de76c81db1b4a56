/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_KEEP_H
#define CX_NET_KEEP_H

#include "base/err.h"

/*
 * A network namespace that outlives its maker: RUN/net is a mount of it, in the mount namespace of
 * the host. That is process 1's where that sees the same RUN (a service manager may have given
 * caissond one of its own, which goes with it), else the one that caissond was started in.
 */

/* run: the directory, as run_path is found in each. Returns the mount namespace to use. */
CX_MUST int cx_keep_mounts(const char *run_path, int run, int started_in, struct cx_err *err);
/* Returns the namespace that is kept, or -ENOENT. */
CX_MUST int cx_keep_find(const char *run_path, int mounts, struct cx_err *err);
CX_MUST int cx_keep(const char *run_path, int mounts, int netns, struct cx_err *err);
void cx_keep_drop(const char *run_path, int mounts);

#endif
