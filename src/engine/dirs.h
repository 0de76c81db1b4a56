/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_DIRS_H
#define CX_ENGINE_DIRS_H

#include <sys/types.h>

#include "base/err.h"

/* caissond's two directories (ARCHITECTURE.md "Directories") and the claim to be alone in them. */
struct cx_dirs {
	const char *state_path, *run_path; /* the caller's */
	int state_lock, run_lock;	   /* flock(2)ed for as long as they are open */
	int layers, writable, trash, gateway;
	int run, sandboxes, layer_mounts;
	char instance[9]; /* tells daemons apart by their state directory: cgroups are named by it
			   */
};

#define CX_DIRS_NONE                                                                            \
	{                                                                                       \
		.state_lock = -EBADF, .run_lock = -EBADF, .layers = -EBADF, .writable = -EBADF, \
		.trash = -EBADF, .gateway = -EBADF, .run = -EBADF, .sandboxes = -EBADF,         \
		.layer_mounts = -EBADF                                                          \
	}

/*
 * Makes what is missing and sets owners and modes. Refuses a directory that is not ours (not empty
 * and without a lock file) and, naming its pid, one that another caissond uses.
 */
CX_MUST int cx_dirs_open(const char *state, const char *run, uid_t uid, gid_t gid,
			 struct cx_dirs *ret, struct cx_err *err);
void cx_dirs_close(struct cx_dirs *dirs);

#endif
