/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_JOB_H
#define CX_FETCH_JOB_H

#include "fetch/access.h"
#include "fetch/download.h"

/* One request of the gateway, from its arrival to its answer. jobs.c moves it along, step.c knows
 * what it asks. */
enum cx_task { /* what the gateway asked for */
	       CX_TASK_LOGIN,
	       CX_TASK_MANIFEST,
	       CX_TASK_BLOB,
	       CX_TASK_PUT_BLOB,
	       CX_TASK_PUT_MANIFEST,
	       CX_TASK_MAX,
};

enum cx_step { /* one kind of exchange each (step.c) */
	       CX_STEP_LOGIN,
	       CX_STEP_MANIFEST,
	       CX_STEP_BLOB,
	       CX_STEP_LOOK,
	       CX_STEP_UPLOAD,
	       CX_STEP_PUT_BLOB,
	       CX_STEP_PUT_MANIFEST,
	       CX_STEP_MAX,
};

enum cx_job_state {
	CX_JOB_QUEUED,
	CX_JOB_REHASHING,
	CX_JOB_READY, /* to start its step, as soon as it has access */
	CX_JOB_RUNNING,
	CX_JOB_WAITING,	 /* until due_ms, then it is ready again */
	CX_JOB_DRAINING, /* all is here, and right; its pipe is still to be filled */
	CX_JOB_ENDED,	 /* its answer is to be sent */
};

struct cx_job {
	struct cx_jobs *set;
	struct cx_job *next;
	uint32_t request;
	enum cx_task task;
	enum cx_job_state state;
	/* what was asked for; what does not belong to the task is empty */
	char repository[CX_FETCH_REPOSITORY_MAX + 1], from[CX_FETCH_REPOSITORY_MAX + 1];
	char reference[CX_FETCH_REFERENCE_MAX + 1], media_type[CX_FETCH_TYPE_MAX + 1];
	uint8_t digest[32];
	uint64_t size;
	int file; /* to be sent; -EBADF: none */
	struct cx_download in;
	/* where it is */
	unsigned endpoint, tries, redirects, challenges;
	enum cx_step step;
	uint64_t due_ms, try_began_at;
	char url[CX_WEB_URL_MAX]; /* "": the step's own */
	bool foreign;		  /* url is not the endpoint's: no credentials */
	bool body_begun;	  /* of this exchange */
	bool stale;		  /* what the file held at the beginning may be what is wrong */
	char *authorization;	  /* sent with this exchange */
	struct cx_web_call call;
	uint64_t told_ms, told_bytes;
	/* the answer */
	enum cx_fetch_how how;
	char claimed[CX_FETCH_REFERENCE_MAX + 1];
	struct cx_fault fault; /* err.errnum 0: it succeeded */
};

struct cx_jobs {
	struct cx_web *web;
	int sock;
	struct cx_endpoint *endpoints[CX_FETCH_ENDPOINTS_MAX]; /* the registry is the last */
	unsigned nendpoints;
	struct cx_job *first; /* oldest */
	unsigned total;
	bool changed; /* something may go on without waiting */
};

static inline struct cx_endpoint *cx_job_endpoint(const struct cx_job *job)
{
	return job->set->endpoints[job->endpoint];
}

#endif
