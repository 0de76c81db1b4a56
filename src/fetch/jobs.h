/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_JOBS_H
#define CX_FETCH_JOBS_H

#include "fetch/job.h"

/*
 * The life of all jobs: which endpoint is asked, how often, with what proof of who asks, where a
 * redirect leads. Nothing waits inside; cx_jobs_turn() moves each job as far as it goes.
 */
enum {
	CX_JOB_TRIES = 5, /* at the registry, without a mebibyte of progress between them */
	CX_JOB_MIRROR_TRIES = 2,
	CX_JOB_REDIRECTS = 5,
	CX_JOB_CHALLENGES = 2, /* in one try: what is wanted, and a new token */
	CX_JOB_PROGRESS_MS = 200,
};

/* Puts a job behind the others, or returns NULL: no memory. The rest is the caller's to fill in. */
struct cx_job *cx_job_new(struct cx_jobs *jobs, uint32_t request, enum cx_task task);
struct cx_job *cx_job_find(struct cx_jobs *jobs, uint32_t request);
void cx_job_fail(struct cx_job *job, const struct cx_fault *fault); /* now, whatever it does */
void cx_jobs_clear(struct cx_jobs *jobs); /* no answers are sent; the endpoints stay */

/* Moves all jobs and sends what is to be said. An error is one of the socket. */
CX_MUST int cx_jobs_turn(struct cx_jobs *jobs, struct cx_err *err);
/* Milliseconds until the next turn is due at the latest. */
int cx_jobs_timeout(const struct cx_jobs *jobs);
/* The descriptors that jobs wait for, at most CX_FETCH_REQUESTS_MAX. Returns how many. */
unsigned cx_jobs_poll(struct cx_jobs *jobs, struct pollfd *fds);

#endif
