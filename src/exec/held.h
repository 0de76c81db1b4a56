/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_HELD_H
#define CX_EXEC_HELD_H

#include <stdbool.h>

/*
 * Files that are read for each command, kept open: to find and open one of a control group takes
 * several times as long as to read it. Each sandbox has a set; only those that were used last hold
 * any, as descriptors are not without end.
 */
enum { CX_HELD_SETS_MAX = 64, CX_HELD_FILES_MAX = 12 };

struct cx_held;

struct cx_held_sets { /* zeroed, there are none */
	struct cx_held *newest;
	unsigned n;
};

struct cx_held { /* zeroed, it holds nothing */
	struct cx_held_sets *sets;
	unsigned n;
	struct {
		const char *name; /* a literal */
		unsigned dir;
		int fd;
	} files[CX_HELD_FILES_MAX];
	struct cx_held *next, **link;
};

/* It is in use now: it may hold files, and the one that was so the longest ago may not any more. */
void cx_held_use(struct cx_held_sets *sets, struct cx_held *held);
/* Closes all of them. It holds none until it is used again. */
void cx_held_close(struct cx_held *held);
/* The file "name" of directory number dir, borrowed; -EBADF: it is not held. */
int cx_held_find(const struct cx_held *held, unsigned dir, const char *name);
bool cx_held_has_room(const struct cx_held *held);
/* Takes fd over; there is room. */
void cx_held_add(struct cx_held *held, unsigned dir, const char *name, int fd);

#endif
