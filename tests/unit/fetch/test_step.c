/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/step.h"

#include <string.h>

#include "check_main.h"

#define DIGEST "sha256:0101010101010101010101010101010101010101010101010101010101010101"

static struct cx_jobs jobs;
static struct cx_job *job;
static struct cx_endpoint *mirror, *registry;
static struct cx_web_plan plan;
static struct cx_buf ca;
static struct cx_err err;

static void setup(void)
{
	mirror = cx_endpoint_new(NULL, &ca);
	registry = cx_endpoint_new(NULL, &ca);
	job = calloc(1, sizeof *job);
	(void)strcpy(mirror->host, "mirror:5000");
	(void)strcpy(mirror->prefix, "hub");
	mirror->plain = mirror->mirror = true;
	(void)strcpy(registry->host, "registry");
	jobs.endpoints[0] = mirror;
	jobs.endpoints[1] = registry;
	jobs.nendpoints = 2;
	job->set = &jobs;
	job->endpoint = 1;
	job->size = 100;
	job->file = 55;
	(void)strcpy(job->repository, "a/b");
	(void)strcpy(job->reference, "tag");
	(void)strcpy(job->media_type, "x/y");
	memset(job->digest, 1, sizeof job->digest);
}

static void teardown(void)
{
	cx_endpoint_free(mirror);
	cx_endpoint_free(registry);
	free(job);
}

static const struct {
	enum cx_task task;
	enum cx_step step;
	const char *from, *url, *scope, *object;
	enum cx_web_method method;
	bool pulls, sends;
} steps[] = {
	{ CX_TASK_LOGIN, CX_STEP_LOGIN, "", "https://registry/v2/", "", "a login", CX_WEB_GET,
	  false, false },
	{ CX_TASK_MANIFEST, CX_STEP_MANIFEST, "", "https://registry/v2/a/b/manifests/tag",
	  "repository:a/b:pull", "'a/b:tag'", CX_WEB_GET, true, false },
	{ CX_TASK_BLOB, CX_STEP_BLOB, "", "https://registry/v2/a/b/blobs/" DIGEST,
	  "repository:a/b:pull", "blob sha256:010101010101 of 'a/b'", CX_WEB_GET, true, false },
	{ CX_TASK_PUT_BLOB, CX_STEP_LOOK, "", "https://registry/v2/a/b/blobs/" DIGEST,
	  "repository:a/b:pull,push", "repository 'a/b' to push to", CX_WEB_HEAD, false, false },
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, "c",
	  "https://registry/v2/a/b/blobs/uploads/?mount="
	  "sha256%3A01010101010101010101010101010101010101"
	  "01010101010101010101010101&from=c",
	  "repository:a/b:pull,push repository:c:pull", "repository 'a/b' to push to", CX_WEB_POST,
	  false, false },
	{ CX_TASK_PUT_MANIFEST, CX_STEP_PUT_MANIFEST, "", "https://registry/v2/a/b/manifests/tag",
	  "repository:a/b:pull,push", "repository 'a/b' to push to", CX_WEB_PUT, false, true },
};

START_TEST(what_is_asked)
{
	char text[CX_ACCESS_SCOPE_SIZE];

	job->task = steps[_i].task;
	job->step = steps[_i].step;
	(void)strcpy(job->from, steps[_i].from);
	ck_assert_int_eq(cx_step_plan(job, &plan, &err), 0);
	ck_assert_str_eq(plan.url, steps[_i].url);
	ck_assert_int_eq(plan.method, steps[_i].method);
	ck_assert(!plan.plain);
	ck_assert_uint_gt(plan.stall_s, 0); /* nothing waits without end */
	ck_assert_int_eq(plan.file_bytes == 100 && plan.file == 55, steps[_i].sends);
	cx_step_scope(job, text);
	ck_assert_str_eq(text, steps[_i].scope);
	cx_step_object(job, text, sizeof text);
	ck_assert_str_eq(text, steps[_i].object);
	ck_assert_int_eq(cx_step_pulls(job->task), steps[_i].pulls);
}
END_TEST

START_TEST(where_a_mirror_has_it)
{
	char scope[CX_ACCESS_SCOPE_SIZE];

	job->endpoint = 0;
	job->task = CX_TASK_MANIFEST;
	job->step = cx_step_first(job->task);
	ck_assert_int_eq(cx_step_plan(job, &plan, &err), 0);
	ck_assert_str_eq(plan.url, "http://mirror:5000/v2/hub/a/b/manifests/tag");
	ck_assert(plan.plain);
	cx_step_scope(job, scope);
	ck_assert_str_eq(scope, "repository:hub/a/b:pull");
}
END_TEST

START_TEST(where_it_was_sent)
{
	job->task = CX_TASK_BLOB;
	job->step = CX_STEP_BLOB;
	(void)strcpy(job->url, "https://elsewhere/x");
	job->in.have = 40;
	ck_assert_int_eq(cx_step_plan(job, &plan, &err), 0);
	ck_assert_str_eq(plan.url, "https://elsewhere/x");
	ck_assert_uint_eq(plan.from, 40);
}
END_TEST

static const struct {
	enum cx_task task;
	enum cx_step step;
	unsigned status;
	const char *location;
	enum cx_outcome outcome;
	enum cx_step next;
} answers[] = {
	{ CX_TASK_LOGIN, CX_STEP_LOGIN, 200, "", CX_OUTCOME_DONE, CX_STEP_LOGIN },
	{ CX_TASK_LOGIN, CX_STEP_LOGIN, 401, "", CX_OUTCOME_REFUSED, CX_STEP_LOGIN },
	{ CX_TASK_MANIFEST, CX_STEP_MANIFEST, 206, "", CX_OUTCOME_REFUSED, CX_STEP_MANIFEST },
	{ CX_TASK_MANIFEST, CX_STEP_MANIFEST, 404, "", CX_OUTCOME_REFUSED, CX_STEP_MANIFEST },
	{ CX_TASK_BLOB, CX_STEP_BLOB, 404, "", CX_OUTCOME_REFUSED, CX_STEP_BLOB },
	{ CX_TASK_BLOB, CX_STEP_BLOB, 200, "", CX_OUTCOME_FAULT, CX_STEP_BLOB }, /* too short */
	{ CX_TASK_PUT_BLOB, CX_STEP_LOOK, 200, "", CX_OUTCOME_DONE, CX_STEP_LOOK },
	{ CX_TASK_PUT_BLOB, CX_STEP_LOOK, 404, "", CX_OUTCOME_NEXT, CX_STEP_UPLOAD },
	{ CX_TASK_PUT_BLOB, CX_STEP_LOOK, 401, "", CX_OUTCOME_NEXT, CX_STEP_LOOK }, /* no mount */
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, 201, "", CX_OUTCOME_DONE, CX_STEP_UPLOAD },
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, 202, "/u", CX_OUTCOME_NEXT, CX_STEP_PUT_BLOB },
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, 202, "", CX_OUTCOME_FAULT, CX_STEP_UPLOAD },
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, 403, "", CX_OUTCOME_NEXT, CX_STEP_UPLOAD },
	{ CX_TASK_PUT_BLOB, CX_STEP_UPLOAD, 500, "", CX_OUTCOME_REFUSED, CX_STEP_UPLOAD },
	{ CX_TASK_PUT_BLOB, CX_STEP_PUT_BLOB, 201, "", CX_OUTCOME_DONE, CX_STEP_PUT_BLOB },
	{ CX_TASK_PUT_BLOB, CX_STEP_PUT_BLOB, 400, "", CX_OUTCOME_REFUSED, CX_STEP_PUT_BLOB },
	{ CX_TASK_PUT_MANIFEST, CX_STEP_PUT_MANIFEST, 201, "", CX_OUTCOME_DONE,
	  CX_STEP_PUT_MANIFEST },
	{ CX_TASK_PUT_MANIFEST, CX_STEP_PUT_MANIFEST, 405, "", CX_OUTCOME_REFUSED,
	  CX_STEP_PUT_MANIFEST },
};

START_TEST(what_an_answer_means)
{
	job->task = answers[_i].task;
	job->step = answers[_i].step;
	(void)strcpy(job->from, "c");
	(void)strcpy(job->url, "https://registry/v2/a/b/blobs/uploads/");
	job->call.answer.status = answers[_i].status;
	(void)strcpy(job->call.answer.location, answers[_i].location);
	ck_assert_int_eq(cx_step_answered(job), answers[_i].outcome);
	if (answers[_i].outcome != CX_OUTCOME_FAULT)
		ck_assert_int_eq(job->step, answers[_i].next);
	else
		ck_assert_int_ne(job->fault.err.errnum, 0);
	if (job->step == CX_STEP_PUT_BLOB && answers[_i].step == CX_STEP_UPLOAD &&
	    answers[_i].outcome == CX_OUTCOME_NEXT)
		ck_assert_ptr_nonnull(strstr(job->url, "https://registry/u?digest=sha256"));
	/* Once a mount is out of the question, a denial is one of the push. */
	if (answers[_i].status == 401 || answers[_i].status == 403)
		ck_assert_int_eq(cx_step_answered(job), CX_OUTCOME_REFUSED);
}
END_TEST

static const struct {
	unsigned status;
	const char *range;
	bool has_length;
	uint64_t length;
	bool fine;
} heads[] = {
	{ 206, "bytes 40-99/100", true, 60, true },
	{ 206, "bytes 40-99/100", false, 0, true },
	{ 206, "bytes 40-99/*", true, 60, true },
	{ 206, "bytes 40-98/100", true, 59, false },
	{ 206, "bytes 0-99/100", true, 100, false },
	{ 206, "bytes 40-99/101", true, 60, false },
	{ 206, "bytes 40-99", true, 60, false },
	{ 206, "", true, 60, false },
	{ 206, "bytes 40-99/100", true, 61, false },
	{ 200, "", true, 100, true },
	{ 200, "", false, 0, true },
	{ 200, "", true, 60, false },
};

START_TEST(is_it_the_part_that_is_missing)
{
	int file = fileno(tmpfile());

	job->task = CX_TASK_BLOB;
	job->step = CX_STEP_BLOB;
	ck_assert_int_eq(ftruncate(file, 40), 0);
	ck_assert_int_eq(cx_download_open(&job->in, dup(file), -EBADF, 100, 40, &err), 0);
	ck_assert_int_eq(cx_download_rehash(&job->in, &err), 0);
	ck_assert_int_eq(cx_step_plan(job, &plan, &err), 0);
	job->call.answer.status = heads[_i].status;
	job->call.answer.has_length = heads[_i].has_length;
	job->call.answer.length = heads[_i].length;
	(void)strcpy(job->call.answer.content_range, heads[_i].range);
	ck_assert_msg(plan.sink(&job->call, "x", 1) == heads[_i].fine, "%s", heads[_i].range);
	ck_assert_uint_eq(job->in.have, heads[_i].fine && heads[_i].status == 206 ? 41 : 40);
	ck_assert_int_eq(job->fault.err.errnum == 0, heads[_i].fine);
	cx_download_close(&job->in);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/step");
	TCase *t = tcase_create("step");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_asked, 0, (int)CX_LEN(steps));
	tcase_add_test(t, where_a_mirror_has_it);
	tcase_add_test(t, where_it_was_sent);
	tcase_add_loop_test(t, what_an_answer_means, 0, (int)CX_LEN(answers));
	tcase_add_loop_test(t, is_it_the_part_that_is_missing, 0, (int)CX_LEN(heads));
	suite_add_tcase(s, t);
	return run_suite(s);
}
