/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_LANDING_H
#define CX_CLI_LANDING_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Where the files of a sandbox's directory go. Their names come from untrusted code: each is one
 * component, below a directory that is held open, and no link is followed, also not one that was
 * made a moment before. A file is written beside its place and takes it when it is whole.
 */
struct cx_landing {
	int dir; /* borrowed */
	int fd;	 /* owned */
	char name[256], unfinished[300];
};

/* One component, not "." or "..", and no character in it that was not UTF-8. */
CX_MUST int cx_landing_check(const char *name, struct cx_err *err);
CX_MUST int cx_landing_open(struct cx_landing *ret, int dir, const char *name, mode_t mode,
			    struct cx_err *err);
/* landing is a struct cx_landing. */
CX_MUST int cx_landing_take(void *landing, const char *bytes, size_t len, struct cx_err *err);
CX_MUST int cx_landing_finish(struct cx_landing *landing, struct cx_err *err);
void cx_landing_free(struct cx_landing *landing); /* removes what is not finished; for CX_AUTO() */

/* Makes a directory or takes one that is there. Returns a descriptor. */
CX_MUST int cx_landing_dir(int dir, const char *name, mode_t mode, struct cx_err *err);
CX_MUST int cx_landing_link(int dir, const char *name, const char *target, struct cx_err *err);

#endif
