/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_QUEUE_H
#define CX_API_QUEUE_H

#include "base/loop.h"

/*
 * Sandboxes that wait for room on the host (boxqueue.c). caissond says whether there is any; who is
 * told no, or comes while others wait, is in line. Owners take turns, each of them first come,
 * first served, and nobody passes the one whose turn it is, however little he wants. What waits is
 * on record (queued_ms of its row) before its client hears of it, so that the next gateway has the
 * same line.
 */
struct cx_box;
struct cx_gateway;

enum {
	CX_QUEUE_ASKING_MAX = 64, /* creations that caissond is asked for at a time */
	CX_QUEUE_TICK_MS = 1000,  /* between two tries when nothing is heard */
};

struct cx_queue {
	struct cx_gateway *gw;
	struct cx_box *first; /* whose turn it is */
	unsigned length, max; /* max 0: nobody waits */
	uint64_t wait_ms;     /* how long one may */
	int64_t turn;	      /* of the one that was asked for last */
	unsigned asking;
	unsigned window;   /* may be asked for at a time: 1 after a refusal, then more and more */
	struct cx_err why; /* the last refusal */
	struct cx_timer timer;
};

struct cx_queue_place { /* of a box */
	struct cx_box *next;
	int64_t turn; /* of its owner */
	uint64_t until_ms;
	bool waits, asked;
};

#endif
