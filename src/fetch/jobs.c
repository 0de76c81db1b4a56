/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/jobs.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/loop.h"
#include "fetch/names.h"
#include "fetch/step.h"

enum { PROGRESS_COUNTS = 1 << 20, BACKOFF_MS = 500, BACKOFF_MAX_MS = 30000 };

static void enter(struct cx_job *job, enum cx_job_state state)
{
	job->state = state;
	job->set->changed = true;
}

struct cx_job *cx_job_new(struct cx_jobs *jobs, uint32_t request, enum cx_task task)
{
	struct cx_job **last = &jobs->first, *job = calloc(1, sizeof *job);

	if (job == NULL)
		return NULL;
	job->set = jobs;
	job->request = request;
	job->task = task;
	job->step = cx_step_first(task);
	job->file = -EBADF;
	while (*last != NULL)
		last = &(*last)->next;
	*last = job;
	jobs->total++;
	enter(job, CX_JOB_QUEUED);
	return job;
}

struct cx_job *cx_job_find(struct cx_jobs *jobs, uint32_t request)
{
	struct cx_job *job = jobs->first;

	while (job != NULL && job->request != request)
		job = job->next;
	return job;
}

/* What it holds besides its answer. */
static void let_go(struct cx_job *job)
{
	cx_web_stop(&job->call);
	cx_download_close(&job->in);
	cx_close(&job->file);
	free(job->authorization);
	job->authorization = NULL;
}

static void remove_job(struct cx_job *job)
{
	struct cx_job **at = &job->set->first;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	job->set->total--;
	let_go(job);
	free(job);
}

void cx_jobs_clear(struct cx_jobs *jobs)
{
	while (jobs->first != NULL)
		remove_job(jobs->first);
}

/* ---- how a job ends -------------------------------------------------------------------------- */

void cx_job_fail(struct cx_job *job, const struct cx_fault *fault)
{
	if (job->state == CX_JOB_ENDED)
		return;
	if (fault != &job->fault)
		job->fault = *fault;
	let_go(job);
	enter(job, CX_JOB_ENDED);
}

static void succeed(struct cx_job *job)
{
	job->fault = (struct cx_fault){ .reason = CX_FETCH_OTHER };
	let_go(job);
	enter(job, CX_JOB_ENDED);
}

static uint64_t backoff_ms(unsigned tries)
{
	uint64_t ms = (uint64_t)BACKOFF_MS << (tries - 1);
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof random, 0);
	ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
	return ms + random % (ms / 2); /* so that many who failed together do not come together */
}

/* Pulls may go on at the next mirror or, in the end, at the registry itself. */
static bool go_elsewhere(struct cx_job *job)
{
	const struct cx_jobs *jobs = job->set;
	enum cx_fetch_reason reason = job->fault.reason;

	if (job->endpoint + 1 >= jobs->nendpoints)
		return false;
	if (reason == CX_FETCH_UNREACHABLE || reason == CX_FETCH_CERTIFICATE ||
	    reason == CX_FETCH_NOT_TLS)
		cx_job_endpoint(job)->down = true;
	job->endpoint++;
	job->tries = 0;
	return true;
}

static void begin_try(struct cx_job *job)
{
	job->step = cx_step_first(job->task);
	job->redirects = job->challenges = 0;
	job->url[0] = '\0';
	job->try_began_at = job->in.have;
}

/* This try has failed, as job->fault says. */
static void fail_try(struct cx_job *job)
{
	unsigned most = cx_job_endpoint(job)->mirror ? CX_JOB_MIRROR_TRIES : CX_JOB_TRIES;
	uint64_t wait_ms;

	if (job->in.have >= job->try_began_at + PROGRESS_COUNTS)
		job->tries = 0;
	job->tries++;
	if (job->fault.again && job->tries < most) {
		wait_ms = backoff_ms(job->tries);
		if (wait_ms < job->fault.after_ms)
			wait_ms = job->fault.after_ms;
		job->due_ms = cx_now_ms() + wait_ms;
		begin_try(job);
		enter(job, CX_JOB_WAITING);
		return;
	}
	if (job->fault.reason != CX_FETCH_LOCAL && go_elsewhere(job)) {
		begin_try(job);
		enter(job, CX_JOB_READY);
		return;
	}
	if (job->tries > 1)
		(void)cx_wrap(&job->fault.err, "after %u tries", job->tries);
	cx_job_fail(job, &job->fault);
}

/* A wrong blob: from the beginning, at somebody else's or without what lay in the file. */
static void fail_digest(struct cx_job *job)
{
	char digest[CX_DIGEST_SIZE];
	bool clean;

	cx_name_of_digest(job->digest, digest);
	(void)cx_fault_set(&job->fault, CX_FETCH_DIGEST, CX_UNAVAILABLE,
			   "registry '%s' sends something else for blob %s of '%s': its digest is "
			   "another; it is damaged there, or somebody changed it on the way",
			   cx_job_endpoint(job)->host, digest, job->repository);
	clean = cx_download_restart(&job->in);
	if (clean && job->stale) {
		job->stale = false;
		begin_try(job);
		enter(job, CX_JOB_READY);
	} else if (clean) {
		fail_try(job);
	} else { /* some of it went through the pipe already */
		(void)!ftruncate(job->in.file, 0);
		cx_job_fail(job, &job->fault);
	}
}

/* All of a blob is in its file. */
static void complete(struct cx_job *job)
{
	uint8_t digest[32];
	struct cx_err err;

	if (cx_download_digest(&job->in, digest, &err) < 0) {
		(void)cx_fault_local(&job->fault, &err);
		cx_job_fail(job, &job->fault);
	} else if (memcmp(digest, job->digest, sizeof digest) != 0) {
		fail_digest(job);
	} else {
		enter(job, CX_JOB_DRAINING);
	}
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static void question_of(const struct cx_job *job, struct cx_question *ret, char who[700],
			char object[512])
{
	const struct cx_endpoint *e = cx_job_endpoint(job);
	char name[CX_ORIGIN_NAME_SIZE];
	struct cx_origin origin;
	struct cx_err lost;

	if (job->foreign && cx_origin_of(job->url, &origin, &lost) == 0) {
		cx_origin_name(&origin, name);
		(void)snprintf(who, 700, "'%s', where registry '%s' sends us,", name, e->host);
	} else {
		(void)snprintf(who, 700, "registry '%s'", e->host);
	}
	cx_step_object(job, object, 512);
	*ret = (struct cx_question){
		.who = who,
		.object = object,
		.login = e->host,
		.sent = cx_access_sent(e, job->authorization != NULL ? job->authorization : ""),
		.known = e->answered,
	};
}

static void refuse_answer(struct cx_job *job)
{
	const struct cx_web_answer *a = &job->call.answer;
	struct cx_question question;
	char who[700], object[512];

	question_of(job, &question, who, object);
	(void)cx_fault_of(&job->fault, a, &question);
	if (a->end == CX_WEB_CUT && job->body_begun)
		job->fault.reason = CX_FETCH_TRUNCATED;
	/* Signed URLs expire: the registry gives out new ones. */
	if (job->foreign && a->end == CX_WEB_ANSWERED && a->status >= 400)
		job->fault.again = true;
	fail_try(job);
}

/* True: the exchange is to be repeated with what the registry wants to see. */
static bool meet_challenge(struct cx_job *job)
{
	const struct cx_web_answer *a = &job->call.answer;
	char scope[CX_ACCESS_SCOPE_SIZE];

	if (a->status != 401 || job->foreign || job->challenges >= CX_JOB_CHALLENGES)
		return false;
	job->challenges++;
	cx_step_scope(job, scope);
	return cx_access_challenged(cx_job_endpoint(job), scope, a->challenge,
				    job->authorization != NULL ? job->authorization : "",
				    &job->fault);
}

static bool is_redirect(const struct cx_job *job)
{
	unsigned status = job->call.answer.status;
	bool asks =
		job->step == CX_STEP_LOOK || cx_step_pulls(job->task) || job->task == CX_TASK_LOGIN;

	return status == 307 || status == 308 ||
	       (asks && (status == 301 || status == 302 || status == 303));
}

static void follow(struct cx_job *job)
{
	const char *host = cx_job_endpoint(job)->host;
	char asked[CX_WEB_URL_MAX];
	struct cx_err err;

	memcpy(asked, job->url, sizeof asked);
	if (++job->redirects > CX_JOB_REDIRECTS)
		(void)cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				   "registry '%s' redirects more than %d times", host,
				   CX_JOB_REDIRECTS);
	else if (cx_url_join(asked, job->call.answer.location, job->url, &err) < 0)
		(void)cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				   "registry '%s' redirects: %s", host, err.msg);
	else {
		enter(job, CX_JOB_READY);
		return;
	}
	fail_try(job);
}

static void take_answer(struct cx_job *job)
{
	job->fault = (struct cx_fault){ .reason = CX_FETCH_OTHER };
	if (meet_challenge(job)) {
		enter(job, CX_JOB_READY);
		return;
	}
	if (job->fault.err.errnum != 0) {
		fail_try(job);
		return;
	}
	switch (cx_step_answered(job)) {
	case CX_OUTCOME_NEXT:
		job->redirects = job->challenges = 0;
		enter(job, CX_JOB_READY);
		break;
	case CX_OUTCOME_DONE:
		if (job->task == CX_TASK_BLOB)
			complete(job);
		else
			succeed(job);
		break;
	case CX_OUTCOME_FAULT:
		fail_try(job);
		break;
	case CX_OUTCOME_REFUSED:
		refuse_answer(job);
		break;
	}
}

static void exchange_done(struct cx_web_call *call)
{
	struct cx_job *job = cx_container_of(call, struct cx_job, call);

	if (call->answer.end == CX_WEB_STOPPED && job->fault.err.errnum != 0) {
		fail_try(job); /* by our sink, which said why */
		return;
	}
	if (call->answer.end != CX_WEB_ANSWERED) {
		refuse_answer(job);
		return;
	}
	cx_job_endpoint(job)->answered = true;
	if (is_redirect(job))
		follow(job);
	else
		take_answer(job);
}

/* Credentials go to the endpoint, and nowhere that it redirects to. */
static int look_where(struct cx_job *job, struct cx_err *err)
{
	const struct cx_endpoint *e = cx_job_endpoint(job);
	struct cx_origin own, there;
	char url[CX_WEB_URL_MAX];

	if (cx_endpoint_url(e, "/", url, err) < 0 || cx_origin_of(url, &own, err) < 0 ||
	    cx_origin_of(job->url, &there, err) < 0)
		return -err->errnum;
	job->foreign = !cx_origin_same(&own, &there);
	return 0;
}

/* False: it waits for a token, or has failed. */
static bool get_access(struct cx_job *job, char authorization[CX_AUTHORIZATION_SIZE])
{
	char scope[CX_ACCESS_SCOPE_SIZE];
	struct cx_fault fault;

	authorization[0] = '\0';
	if (job->foreign)
		return true;
	cx_step_scope(job, scope);
	switch (cx_access_header(cx_job_endpoint(job), scope, authorization, &fault)) {
	case CX_ACCESS_GRANTED:
		return true;
	case CX_ACCESS_FAILED:
		job->fault = fault;
		fail_try(job);
		break;
	case CX_ACCESS_WAIT:
		break;
	}
	return false;
}

static void start(struct cx_job *job)
{
	struct cx_web_plan plan;
	char authorization[CX_AUTHORIZATION_SIZE];
	struct cx_err err;

	while (cx_job_endpoint(job)->down && job->endpoint + 1 < job->set->nendpoints) {
		job->endpoint++;
		begin_try(job);
	}
	if (cx_step_plan(job, &plan, &err) < 0 || look_where(job, &err) < 0) {
		(void)cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE, "%s", err.msg);
		fail_try(job);
		return;
	}
	if (!get_access(job, authorization))
		return;
	free(job->authorization);
	job->authorization = strdup(authorization);
	plan.done = exchange_done;
	plan.authorization = authorization[0] != '\0' ? authorization : NULL;
	job->fault = (struct cx_fault){ .reason = CX_FETCH_OTHER };
	if (job->authorization == NULL ||
	    cx_web_start(job->set->web, &job->call, &plan, &err) < 0) {
		(void)cx_fail(&err, ENOMEM, "HTTP request");
		(void)cx_fault_local(&job->fault, &err);
		cx_job_fail(job, &job->fault);
		return;
	}
	enter(job, CX_JOB_RUNNING);
}

/* ---- turning --------------------------------------------------------------------------------- */

static void rehash(struct cx_job *job)
{
	struct cx_err err;
	int r = cx_download_rehash(&job->in, &err);

	if (r < 0) {
		(void)cx_fault_local(&job->fault, &err);
		cx_job_fail(job, &job->fault);
	} else if (r > 0) {
		job->set->changed = true; /* more in the next turn */
	} else if (job->in.have == job->size) {
		complete(job);
	} else {
		job->try_began_at = job->in.have;
		enter(job, CX_JOB_READY);
	}
}

static void activate(struct cx_job *job)
{
	unsigned active = 0;

	for (const struct cx_job *j = job->set->first; j != NULL; j = j->next)
		active += j->state == CX_JOB_REHASHING || j->state == CX_JOB_READY ||
			  j->state == CX_JOB_RUNNING || j->state == CX_JOB_WAITING;
	if (active >= CX_FETCH_PARALLEL)
		return;
	if (!cx_step_pulls(job->task))
		job->endpoint = job->set->nendpoints - 1;
	enter(job, job->task == CX_TASK_BLOB ? CX_JOB_REHASHING : CX_JOB_READY);
}

static void move(struct cx_job *job)
{
	switch (job->state) {
	case CX_JOB_QUEUED:
		activate(job);
		break;
	case CX_JOB_REHASHING:
		rehash(job);
		break;
	case CX_JOB_READY:
		start(job);
		break;
	case CX_JOB_WAITING:
		if (cx_now_ms() >= job->due_ms)
			enter(job, CX_JOB_READY);
		break;
	case CX_JOB_DRAINING:
		if (job->in.pipe < 0 || job->in.piped == job->in.have)
			succeed(job);
		break;
	case CX_JOB_RUNNING:
	case CX_JOB_ENDED:
		break;
	}
}

/* -EAGAIN: not now. */
static int send_answer(struct cx_job *job, struct cx_err *err)
{
	const struct cx_err *why = &job->fault.err;
	const struct cx_msg_fetch_got got = {
		.how = job->how,
		.size = job->size,
		.digest = { (const char *)job->digest, sizeof job->digest },
		.media_type = cx_str_of(job->media_type),
		.claimed = cx_str_of(job->claimed),
		.endpoint = cx_str_of(cx_job_endpoint(job)->host),
	};
	const struct cx_msg_fetch_failed failed = {
		.reason = job->fault.reason,
		.http_status = job->fault.status,
		.kind = why->kind,
		.errnum = why->refused ? 0 : (uint32_t)why->errnum,
		.text = { why->msg, why->len },
	};

	if (why->errnum == 0)
		return cx_msg_fetch_got_send(job->set->sock, job->request, &got, NULL, 0, err);
	return cx_msg_fetch_failed_send(job->set->sock, job->request, &failed, NULL, 0, err);
}

/* Progress that there is no room for is left out: the next one says more. */
static void tell(struct cx_job *job)
{
	struct cx_msg_fetch_progress m = {
		.bytes = job->task == CX_TASK_PUT_BLOB ? job->call.sent : job->in.have,
		.total = job->size,
	};
	uint64_t now = cx_now_ms();
	struct cx_err lost;

	if (job->state == CX_JOB_QUEUED || job->state == CX_JOB_ENDED || job->size == 0 ||
	    m.bytes == job->told_bytes || now < job->told_ms + CX_JOB_PROGRESS_MS)
		return;
	job->told_ms = now;
	job->told_bytes = m.bytes;
	(void)!cx_msg_fetch_progress_send(job->set->sock, job->request, &m, NULL, 0, &lost);
}

int cx_jobs_turn(struct cx_jobs *jobs, struct cx_err *err)
{
	struct cx_job *job, *next;

	jobs->changed = false;
	for (job = jobs->first; job != NULL; job = next) {
		next = job->next;
		(void)cx_download_pump(&job->in);
		move(job);
		tell(job);
		if (job->state != CX_JOB_ENDED)
			continue;
		if (send_answer(job, err) == 0)
			remove_job(job);
		else if (err->errnum != EAGAIN)
			return -err->errnum;
	}
	return 0;
}

int cx_jobs_timeout(const struct cx_jobs *jobs)
{
	uint64_t now = cx_now_ms(), least = UINT64_MAX;

	if (jobs->changed)
		return 0;
	for (const struct cx_job *job = jobs->first; job != NULL; job = job->next)
		if (job->state == CX_JOB_WAITING && job->due_ms < least)
			least = job->due_ms;
	if (least == UINT64_MAX)
		return 60000; /* libcurl's longest, too */
	return least > now ? (int)(least - now) : 0;
}

unsigned cx_jobs_poll(struct cx_jobs *jobs, struct pollfd *fds)
{
	unsigned n = 0;

	for (struct cx_job *job = jobs->first; job != NULL; job = job->next) {
		if (job->in.open && job->in.pipe >= 0 && job->in.piped < job->in.have)
			fds[n++] = (struct pollfd){ .fd = job->in.pipe, .events = POLLOUT };
		else if (job->state == CX_JOB_ENDED) /* n stays in bounds: one for each job */
			fds[n++] = (struct pollfd){ .fd = jobs->sock, .events = POLLOUT };
	}
	return n;
}
