/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_LEFTOVER_H
#define CX_API_LEFTOVER_H

#include "base/loop.h"

/*
 * A command is over when its first process has ended; children that it left behind live on, and may
 * still write to its output. Nobody wants that, but a pipe without a reader would kill them. So it
 * is read and thrown away, slowly, until the last of them has closed it.
 */
struct cx_leftover;

struct cx_leftovers { /* zeroed at first */
	struct cx_leftover *first;
	unsigned n;
	struct cx_timer timer;
	struct cx_loop *loop;
};

enum {
	CX_LEFTOVER_MAX = 2048, /* pipes; beyond, they are closed */
	CX_LEFTOVER_PIECE = 65536,
	CX_LEFTOVER_PAUSE_MS = 50, /* between two pieces */
};

/* fd: the read end of a pipe, not blocking; borrowed and duplicated, unless it is at its end. */
void cx_leftover_keep(struct cx_leftovers *all, struct cx_loop *loop, int fd);

#endif
