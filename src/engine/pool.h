/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_POOL_H
#define CX_ENGINE_POOL_H

#include "engine/demand.h"
#include "engine/sandbox.h"

/*
 * Keeps blanks ready, as many as configured or by demand (demand.h), and gives them to those who
 * ask. A full pool is nothing that has to be looked after: no timer runs. A request that finds none
 * waits for the next, first come, first served, at most CX_POOL_WAIT_MS.
 */
enum {
	CX_POOL_QUEUE_MAX = 256,
	CX_POOL_WAIT_MS = 30000,
	CX_POOL_TRIES = 3, /* failures in a row to make a blank, until the waiting are told */
	CX_POOL_GIVES = 3, /* blanks for one request, when they die in the moment of their claim */
	/*
	 * Ended sandboxes that are not all removed: with so many a blank is made only for every
	 * second one that goes, and who asks waits for that.
	 */
	CX_POOL_REMAINS_MAX = 64,
};

/* Embedded in its owner, who keeps it until done. */
struct cx_create {
	struct cx_claim_plan plan;
	/* Once: with a RUNNING sandbox, or NULL and why not. Nothing is left behind then. */
	void (*done)(struct cx_create *create, struct cx_sandbox *sb, const struct cx_err *err);
	uint64_t asked_us;
	struct cx_sandbox *given; /* whom the claim went to; NULL: it waits. Valid until done */
	unsigned gives;		  /* how often it went to one: another number, another sandbox */
	struct cx_create *next;	  /* pool's from here */
	struct cx_timer timer;
	struct cx_pool *pool;
};

struct cx_pool {
	struct cx_sandboxes *set;
	struct cx_demand demand;
	bool stopped;
	struct cx_create *first, **last; /* waiting */
	unsigned nwaiting, failures;
	unsigned gone;	    /* sandboxes that are wholly removed, since the last blank was begun */
	uint64_t failed_ms; /* when the last try failed */
	struct cx_timer timer;	/* to make the next blank */
	struct cx_timer period; /* of demand, as long as it may be less */
	struct cx_err why;	/* of the last failure */
};

/* blanks: a number, or CX_POOL_AUTO. */
void cx_pool_open(struct cx_pool *ret, struct cx_sandboxes *set, uint64_t blanks);
void cx_pool_start(struct cx_pool *pool);
/* Makes no more, and tells those who wait. */
void cx_pool_stop(struct cx_pool *pool);
/* Those who wait get this error: who asked is gone. */
void cx_pool_drop_waiting(struct cx_pool *pool, const struct cx_err *err);

/* done() comes later, never inside. On failure it does not come. */
CX_MUST int cx_pool_create(struct cx_pool *pool, struct cx_create *create, struct cx_err *err);

/* The watch of the sandboxes hands these on. */
void cx_pool_blank(struct cx_pool *pool, struct cx_sandbox *sb);
void cx_pool_running(struct cx_pool *pool, struct cx_sandbox *sb);
void cx_pool_lost(struct cx_pool *pool, struct cx_sandbox *sb);
void cx_pool_gone(struct cx_pool *pool, struct cx_sandbox *sb);

#endif
