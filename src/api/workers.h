/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_WORKERS_H
#define CX_API_WORKERS_H

#include "api/engine.h"
#include "api/workerpipe.h"

/*
 * Workers that make an archive or a layer (engine/archive.h, engine/build.h): one request to
 * caissond, a report of each worker, and one end when all of that is there. Embedded in its owner,
 * zeroed, with done set.
 */
enum { CX_WORKERS_MAX = 2 };

struct cx_workers {
	void (*done)(struct cx_workers *workers, const struct cx_err *err); /* once */
	/* caissond's answer, when it is none of an error; may be NULL. */
	void (*answered)(struct cx_workers *workers, const struct cx_engine_answer *answer);
	struct cx_engine_call call;		  /* for the request */
	struct cx_report reports[CX_WORKERS_MAX]; /* when it is done without an error */
	unsigned n, pending;			  /* private from here */
	struct cx_word words[CX_WORKERS_MAX];
	struct cx_err call_err;
};

/*
 * Before the request is made with workers->call: the workers' ends of their reports. When that
 * fails, or the owner goes, cx_workers_forget().
 */
CX_MUST int cx_workers_open(struct cx_workers *workers, struct cx_loop *loop, unsigned n,
			    int *ret_reports, struct cx_err *err);
/* No callback follows. Idempotent. */
void cx_workers_forget(struct cx_workers *workers);

#endif
