/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fetch/names.h"

enum { ASK_S = 60, STALL_S = 30, STORE_S = 300 };

/* ---- what is asked --------------------------------------------------------------------------- */

/* The repository's name at this endpoint, which may hold it below a prefix. */
static int repository_at(const struct cx_job *job, const char *repository, char *ret, size_t size,
			 struct cx_err *err)
{
	const char *prefix = cx_job_endpoint(job)->prefix;

	return cx_format(ret, size, "%s%s%s", err, prefix, *prefix != '\0' ? "/" : "", repository);
}

static int own_url(struct cx_job *job, const char *kind, const char *name, struct cx_err *err)
{
	char repository[2 * (CX_FETCH_REPOSITORY_MAX + 1)], path[1024];

	if (repository_at(job, job->repository, repository, sizeof repository, err) < 0 ||
	    cx_format(path, sizeof path, "/v2/%s%s%s", err, repository, kind, name) < 0)
		return -err->errnum;
	return cx_endpoint_url(cx_job_endpoint(job), path, job->url, err);
}

static int login_url(struct cx_job *job, struct cx_err *err)
{
	return cx_endpoint_url(cx_job_endpoint(job), "/v2/", job->url, err);
}

static int manifest_url(struct cx_job *job, struct cx_err *err)
{
	return own_url(job, "/manifests/", job->reference, err);
}

static int blob_url(struct cx_job *job, struct cx_err *err)
{
	char digest[CX_DIGEST_SIZE];

	cx_name_of_digest(job->digest, digest);
	return own_url(job, "/blobs/", digest, err);
}

static int upload_url(struct cx_job *job, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf query = { .max = CX_WEB_URL_MAX };
	char digest[CX_DIGEST_SIZE], from[2 * (CX_FETCH_REPOSITORY_MAX + 1)];

	cx_name_of_digest(job->digest, digest);
	if (own_url(job, "/blobs/uploads/", "", err) < 0)
		return -err->errnum;
	if (job->from[0] == '\0')
		return 0;
	if (repository_at(job, job->from, from, sizeof from, err) < 0 ||
	    cx_form_add(&query, "mount", digest, err) < 0 ||
	    cx_form_add(&query, "from", from, err) < 0)
		return -err->errnum;
	return cx_url_query(job->url, &query, err);
}

static bool manifest_arrived(struct cx_web_call *call, const void *data, size_t len);
static bool blob_arrived(struct cx_web_call *call, const void *data, size_t len);

static void ask_manifest(struct cx_job *job, struct cx_web_plan *plan)
{
	(void)job;
	plan->accept = "application/vnd.oci.image.index.v1+json, "
		       "application/vnd.oci.image.manifest.v1+json, "
		       "application/vnd.docker.distribution.manifest.list.v2+json, "
		       "application/vnd.docker.distribution.manifest.v2+json";
	plan->sink = manifest_arrived;
}

static void ask_blob(struct cx_job *job, struct cx_web_plan *plan)
{
	plan->from = job->in.have;
	plan->sink = blob_arrived;
	job->in.skip = 0;
}

static void send_file(struct cx_job *job, struct cx_web_plan *plan)
{
	plan->content_type =
		job->task == CX_TASK_PUT_BLOB ? "application/octet-stream" : job->media_type;
	plan->file = job->file;
	plan->file_bytes = job->size;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static const char *host_of(const struct cx_job *job)
{
	return cx_job_endpoint(job)->host;
}

static bool wrong_size(struct cx_job *job, uint64_t comes, uint64_t expected)
{
	char object[CX_FETCH_REPOSITORY_MAX + 128];

	cx_step_object(job, object, sizeof object);
	return cx_fault_set(&job->fault, CX_FETCH_TRUNCATED, CX_UNAVAILABLE,
			    "registry '%s' sends %" PRIu64 " bytes of %s, which is to have %" PRIu64
			    "; it is damaged there",
			    host_of(job), comes, object, expected);
}

static bool add(struct cx_job *job, const void *data, size_t len)
{
	struct cx_err err;
	int r = cx_download_add(&job->in, data, len, &err);

	if (r < 0 && err.refused)
		return wrong_size(job, job->in.have + len, job->in.max);
	return r == 0 || cx_fault_local(&job->fault, &err);
}

static bool manifest_arrived(struct cx_web_call *call, const void *data, size_t len)
{
	struct cx_job *job = cx_container_of(call, struct cx_job, call);

	/* A piece of it is of no use: what a broken try left behind goes. */
	if (!job->body_begun && !cx_download_restart(&job->in))
		return cx_fault_set(&job->fault, CX_FETCH_LOCAL, CX_INTERNAL,
				    "the file of a manifest cannot be cut");
	job->body_begun = true;
	if (len > job->in.max - job->in.have)
		return cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_INVALID,
				    "registry '%s' sends more than %" PRIu64
				    " bytes as manifest of '%s'; no image has one so large",
				    host_of(job), job->in.max, job->repository);
	return add(job, data, len);
}

/* "bytes 100-199/200": begins where we asked, of what we know the size of. */
static bool range_is_right(const struct cx_job *job, const char *range)
{
	uint64_t first, last, total = job->size;
	int n = 0;

	if (sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%n", &first, &last, &n) != 2 || n == 0)
		return false;
	if (strcmp(range + n, "*") != 0 && sscanf(range + n, "%" SCNu64, &total) != 1)
		return false;
	return first == job->in.have && last + 1 == job->size && total == job->size;
}

/* Before the first byte: is it what we asked for? */
static bool check_head(struct cx_job *job)
{
	const struct cx_web_answer *a = &job->call.answer;
	uint64_t expected = a->status == 206 ? job->size - job->in.have : job->size;

	if (a->status == 206 && !range_is_right(job, a->content_range))
		return cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				    "registry '%s' sends another part of a blob (%.100s) than we "
				    "asked for",
				    host_of(job), a->content_range);
	if (a->has_length && a->length != expected)
		return wrong_size(job, job->size - expected + a->length, job->size);
	if (a->status == 200) /* it knows no ranges: what we have already goes by unused */
		job->in.skip = job->in.have;
	return true;
}

static bool blob_arrived(struct cx_web_call *call, const void *data, size_t len)
{
	struct cx_job *job = cx_container_of(call, struct cx_job, call);

	if (!job->body_begun && !check_head(job))
		return false;
	job->body_begun = true;
	return add(job, data, len);
}

/* ---- what it means --------------------------------------------------------------------------- */

static bool is_success(unsigned status)
{
	return status >= 200 && status <= 204;
}

static enum cx_outcome login_answered(struct cx_job *job)
{
	return job->call.answer.status == 200 ? CX_OUTCOME_DONE : CX_OUTCOME_REFUSED;
}

/* "type/subtype; parameters": the first part, in lower case, or "". */
static void keep_type(struct cx_job *job, const char *header)
{
	size_t len = strcspn(header, "; \t");

	job->media_type[0] = '\0';
	if (len > CX_FETCH_TYPE_MAX ||
	    !cx_name_is_media_type((struct cx_str){ header, (uint32_t)len }))
		return;
	for (size_t i = 0; i < len; i++)
		job->media_type[i] =
			(char)(header[i] >= 'A' && header[i] <= 'Z' ? header[i] + 32 : header[i]);
	job->media_type[len] = '\0';
}

static void keep_claim(struct cx_job *job)
{
	uint8_t digest[32];

	if (cx_name_to_digest(job->call.answer.digest, digest))
		cx_name_of_digest(digest, job->claimed);
}

static enum cx_outcome wrong_digest(struct cx_job *job, const char *expected)
{
	char got[CX_DIGEST_SIZE], object[CX_FETCH_REPOSITORY_MAX + 128];

	cx_name_of_digest(job->digest, got);
	cx_step_object(job, object, sizeof object);
	(void)cx_fault_set(&job->fault, CX_FETCH_DIGEST, CX_UNAVAILABLE,
			   "registry '%s' sends something else for %s: its digest is %s, not %s; "
			   "it is damaged there, or somebody changed it on the way",
			   host_of(job), object, got, expected);
	return CX_OUTCOME_FAULT;
}

static enum cx_outcome manifest_answered(struct cx_job *job)
{
	bool by_digest = strchr(job->reference, ':') != NULL;
	char digest[CX_DIGEST_SIZE];
	struct cx_err err;

	if (job->call.answer.status != 200)
		return CX_OUTCOME_REFUSED;
	if (cx_download_digest(&job->in, job->digest, &err) < 0) {
		(void)cx_fault_local(&job->fault, &err);
		return CX_OUTCOME_FAULT;
	}
	keep_type(job, job->call.answer.content_type);
	keep_claim(job);
	cx_name_of_digest(job->digest, digest);
	if (by_digest && strcmp(digest, job->reference) != 0)
		return wrong_digest(job, job->reference);
	if (job->claimed[0] != '\0' && strcmp(digest, job->claimed) != 0)
		return wrong_digest(job, job->claimed);
	job->size = job->in.have;
	return CX_OUTCOME_DONE;
}

static enum cx_outcome blob_answered(struct cx_job *job)
{
	unsigned status = job->call.answer.status;

	if (status == 416 && cx_download_restart(&job->in)) {
		(void)cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				   "registry '%s' has no blob so large", host_of(job));
		job->fault.again = true;
		return CX_OUTCOME_FAULT;
	}
	if (status != 200 && status != 206)
		return CX_OUTCOME_REFUSED;
	if (job->in.have < job->size) {
		(void)wrong_size(job, job->in.have, job->size);
		job->fault.again = true;
		return CX_OUTCOME_FAULT;
	}
	return CX_OUTCOME_DONE;
}

/* Who may not read there, or gets no token for two repositories, can still send the blob. */
static bool give_up_mount(struct cx_job *job)
{
	unsigned status = job->call.answer.status;

	if (job->from[0] == '\0' || (status != 401 && status != 403 && status != 404))
		return false;
	job->from[0] = job->url[0] = '\0';
	return true;
}

static enum cx_outcome look_answered(struct cx_job *job)
{
	if (job->call.answer.status == 200) {
		job->how = CX_FETCH_EXISTED;
		return CX_OUTCOME_DONE;
	}
	if (job->call.answer.status == 404) {
		job->step = CX_STEP_UPLOAD;
		job->url[0] = '\0';
		return CX_OUTCOME_NEXT;
	}
	return give_up_mount(job) ? CX_OUTCOME_NEXT : CX_OUTCOME_REFUSED;
}

static enum cx_outcome upload_answered(struct cx_job *job)
{
	const struct cx_web_answer *a = &job->call.answer;
	CX_AUTO(cx_buf_free) struct cx_buf query = { .max = CX_WEB_URL_MAX };
	char digest[CX_DIGEST_SIZE], asked[CX_WEB_URL_MAX];
	struct cx_err err;

	if (a->status == 201 && job->from[0] != '\0') {
		job->how = CX_FETCH_MOUNTED;
		return CX_OUTCOME_DONE;
	}
	if (a->status != 202)
		return give_up_mount(job) ? CX_OUTCOME_NEXT : CX_OUTCOME_REFUSED;
	cx_name_of_digest(job->digest, digest);
	memcpy(asked, job->url, sizeof asked);
	job->step = CX_STEP_PUT_BLOB;
	if (cx_url_join(asked, a->location, job->url, &err) < 0 ||
	    cx_form_add(&query, "digest", digest, &err) < 0 ||
	    cx_url_query(job->url, &query, &err) < 0) {
		(void)cx_fault_set(&job->fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				   "registry '%s' does not say where to send the blob: %s",
				   host_of(job), err.msg);
		return CX_OUTCOME_FAULT;
	}
	return CX_OUTCOME_NEXT;
}

static enum cx_outcome put_answered(struct cx_job *job)
{
	keep_claim(job);
	return is_success(job->call.answer.status) ? CX_OUTCOME_DONE : CX_OUTCOME_REFUSED;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const struct {
	enum cx_web_method method;
	unsigned total_s, stall_s;
	int (*url)(struct cx_job *job, struct cx_err *err);
	void (*fill)(struct cx_job *job, struct cx_web_plan *plan);
	enum cx_outcome (*answered)(struct cx_job *job);
} steps[CX_STEP_MAX] = {
	[CX_STEP_LOGIN] = { CX_WEB_GET, ASK_S, ASK_S, login_url, NULL, login_answered },
	[CX_STEP_MANIFEST] = { CX_WEB_GET, ASK_S, STALL_S, manifest_url, ask_manifest,
			       manifest_answered },
	[CX_STEP_BLOB] = { CX_WEB_GET, 0, STALL_S, blob_url, ask_blob, blob_answered },
	[CX_STEP_LOOK] = { CX_WEB_HEAD, ASK_S, ASK_S, blob_url, NULL, look_answered },
	[CX_STEP_UPLOAD] = { CX_WEB_POST, ASK_S, ASK_S, upload_url, NULL, upload_answered },
	/* Where to, the registry has said. Behind the last byte it may take its time to store it.
	 */
	[CX_STEP_PUT_BLOB] = { CX_WEB_PUT, 0, STORE_S, NULL, send_file, put_answered },
	[CX_STEP_PUT_MANIFEST] = { CX_WEB_PUT, STORE_S, STORE_S, manifest_url, send_file,
				   put_answered },
};

static const struct {
	enum cx_step first;
	bool pulls;
	const char *actions; /* NULL: no repository */
} tasks[CX_TASK_MAX] = {
	[CX_TASK_LOGIN] = { CX_STEP_LOGIN, false, NULL },
	[CX_TASK_MANIFEST] = { CX_STEP_MANIFEST, true, "pull" },
	[CX_TASK_BLOB] = { CX_STEP_BLOB, true, "pull" },
	[CX_TASK_PUT_BLOB] = { CX_STEP_LOOK, false, "pull,push" },
	[CX_TASK_PUT_MANIFEST] = { CX_STEP_PUT_MANIFEST, false, "pull,push" },
};

enum cx_step cx_step_first(enum cx_task task)
{
	return tasks[task].first;
}

bool cx_step_pulls(enum cx_task task)
{
	return tasks[task].pulls;
}

void cx_step_scope(const struct cx_job *job, char ret[CX_ACCESS_SCOPE_SIZE])
{
	char name[2 * (CX_FETCH_REPOSITORY_MAX + 1)], from[2 * (CX_FETCH_REPOSITORY_MAX + 1)];
	const char *actions = tasks[job->task].actions;
	struct cx_err lost; /* all of it has its place */

	ret[0] = '\0';
	if (actions == NULL || repository_at(job, job->repository, name, sizeof name, &lost) < 0 ||
	    repository_at(job, job->from, from, sizeof from, &lost) < 0)
		return;
	(void)snprintf(ret, CX_ACCESS_SCOPE_SIZE, "repository:%s:%s", name, actions);
	if (job->from[0] != '\0')
		(void)snprintf(ret, CX_ACCESS_SCOPE_SIZE, "repository:%s:%s repository:%s:pull",
			       name, actions, from);
}

void cx_step_object(const struct cx_job *job, char *ret, size_t size)
{
	char digest[CX_DIGEST_SIZE];

	cx_name_of_digest(job->digest, digest);
	switch (job->task) {
	case CX_TASK_MANIFEST:
		(void)snprintf(ret, size, "'%s%s%s'", job->repository,
			       strchr(job->reference, ':') != NULL ? "@" : ":", job->reference);
		break;
	case CX_TASK_BLOB:
		(void)snprintf(ret, size, "blob %.19s of '%s'", digest, job->repository);
		break;
	case CX_TASK_PUT_BLOB:
	case CX_TASK_PUT_MANIFEST:
		(void)snprintf(ret, size, "repository '%s' to push to", job->repository);
		break;
	case CX_TASK_LOGIN:
	case CX_TASK_MAX:
		(void)snprintf(ret, size, "a login");
	}
}

int cx_step_plan(struct cx_job *job, struct cx_web_plan *plan, struct cx_err *err)
{
	*plan = (struct cx_web_plan){
		.method = steps[job->step].method,
		.total_s = steps[job->step].total_s,
		.stall_s = steps[job->step].stall_s,
		.plain = cx_job_endpoint(job)->plain,
		.ca = cx_job_endpoint(job)->ca,
	};
	job->body_begun = false;
	if (job->url[0] == '\0' && steps[job->step].url(job, err) < 0)
		return -err->errnum;
	plan->url = job->url;
	if (steps[job->step].fill != NULL)
		steps[job->step].fill(job, plan);
	return 0;
}

enum cx_outcome cx_step_answered(struct cx_job *job)
{
	return steps[job->step].answered(job);
}
