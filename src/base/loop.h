/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_LOOP_H
#define CX_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * One epoll loop per process: descriptors and timers, no threads.
 *
 * A source is embedded in its owner (cx_container_of() finds it back). Dropping a source inside a
 * callback is always safe: its owner is freed by destroy() only after the running batch of events,
 * so no event can name freed memory.
 */
struct cx_source {
	int fd;						       /* owned by the source once added */
	void (*ready)(struct cx_source *src, uint32_t events); /* EPOLL* */
	void (*destroy)(struct cx_source *src);		       /* may be NULL */
	struct cx_source *next_dead;
	bool added, dead;
};

/*
 * Armed timers are a pairing heap: to arm one costs the same however many there are, and each has
 * those that were found to be due later below it.
 */
struct cx_timer {
	uint64_t due_ms; /* cx_now_ms() */
	uint64_t turn;	 /* of two that are due at once the one that was armed first comes first */
	void (*fire)(struct cx_timer *timer);
	struct cx_timer *below, *next, **link; /* link is NULL while not armed */
};

struct cx_loop {
	int epfd;
	bool stop;
	struct cx_source *dead;
	struct cx_timer *timers; /* the next one that is due, all others below it */
	uint64_t turns;
};

CX_MUST int cx_loop_open(struct cx_loop *ret, struct cx_err *err);
void cx_loop_close(struct cx_loop *loop);

/* Adds src, whose fd and ready are set. On failure the caller still owns the descriptor. */
CX_MUST int cx_loop_add(struct cx_loop *loop, struct cx_source *src, uint32_t events,
			struct cx_err *err);
CX_MUST int cx_loop_change(struct cx_loop *loop, struct cx_source *src, uint32_t events,
			   struct cx_err *err);
/* Closes the descriptor; destroy() follows after the batch. Twice, or before add, does no harm. */
void cx_loop_drop(struct cx_loop *loop, struct cx_source *src);
/* The same for a source whose descriptor is somebody else's: that stays open. */
void cx_loop_leave(struct cx_loop *loop, struct cx_source *src);

/* Arms (or re-arms) a timer. It fires once. Disarm before its owner is freed. */
void cx_timer_set(struct cx_loop *loop, struct cx_timer *timer, uint64_t after_ms);
void cx_timer_clear(struct cx_timer *timer);

/* Runs until loop->stop. */
CX_MUST int cx_loop_run(struct cx_loop *loop, struct cx_err *err);

uint64_t cx_now_ms(void); /* CLOCK_MONOTONIC */
uint64_t cx_now_us(void);
int64_t cx_wall_ms(void); /* Unix time */

#endif
