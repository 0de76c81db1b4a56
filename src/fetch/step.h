/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_STEP_H
#define CX_FETCH_STEP_H

#include "fetch/job.h"

/*
 * The exchanges that tasks are made of: what each asks of the registry (distribution-spec 1.1), and
 * what its answer means. What is common to all is in jobs.c.
 */

enum cx_step cx_step_first(enum cx_task task);
bool cx_step_pulls(enum cx_task task); /* so that a mirror may be asked */

/* What access the task takes: "repository:a/b:pull", or "" for none. */
void cx_step_scope(const struct cx_job *job, char ret[CX_ACCESS_SCOPE_SIZE]);

/* In words: what the task is about. */
void cx_step_object(const struct cx_job *job, char *ret, size_t size);

/* All but done and what proves who asks. Makes job->url if that is "". */
CX_MUST int cx_step_plan(struct cx_job *job, struct cx_web_plan *plan, struct cx_err *err);

enum cx_outcome {
	CX_OUTCOME_NEXT, /* job->step has changed */
	CX_OUTCOME_DONE,
	CX_OUTCOME_FAULT,   /* job->fault says why */
	CX_OUTCOME_REFUSED, /* the status is not one of success */
};
/* Of an exchange that was answered, but not with a redirect, nor 401 as long as that may change. */
enum cx_outcome cx_step_answered(struct cx_job *job);

#endif
