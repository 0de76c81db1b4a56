/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_PLACE_H
#define CX_AGENT_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

/* The last component of a path and the directory that it is in. */
struct cx_place {
	int dir; /* O_PATH; AT_FDCWD before it is looked for */
	char name[NAME_MAX + 1];
	const char *path; /* as asked for; borrowed */
	bool exists;
	struct stat st; /* if it exists */
};

/* Directories on the way are made. follow: a link at the end is gone through, also to nothing. */
CX_MUST int cx_place_find(const char *path, bool follow, struct cx_place *at, struct cx_err *err);
/* Into a directory, made if it is missing; at->path is set. */
CX_MUST int cx_place_enter(struct cx_place *at, const char *name, struct cx_err *err);
/* The same with every component but the last, which at->name becomes. */
CX_MUST int cx_place_walk(struct cx_place *at, const char *path, struct cx_err *err);
void cx_place_close(struct cx_place *at); /* for CX_AUTO() */

/* New content that nobody sees yet. */
struct cx_fresh {
	const struct cx_place *at;
	int fd;
	char name[40]; /* in the same directory; "": it has none */
};

CX_MUST int cx_fresh_open(const struct cx_place *at, struct cx_fresh *fresh, struct cx_err *err);
/* For what has no descriptor: a name that nobody has, for the caller to use and keep in fresh. */
CX_MUST int cx_fresh_name(char name[40], struct cx_err *err);
CX_MUST int cx_fresh_publish(struct cx_fresh *fresh, struct cx_err *err);
void cx_fresh_drop(struct cx_fresh *fresh); /* what did not come to its name goes; for CX_AUTO() */

#endif
