/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/jobs.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/loop.h"
#include "check_main.h"
#include "fetch/serve_once.h"

static struct cx_jobs jobs;
static struct cx_packet pkt;
static struct cx_buf ca;
static struct cx_err err;
static int ours;

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	ours = pair[0];
	jobs.sock = pair[1];
	ck_assert_int_eq(cx_web_prepare(&err), 0);
	ck_assert_int_eq(cx_web_open(&jobs.web, &err), 0);
	for (jobs.nendpoints = 0; jobs.nendpoints < 2; jobs.nendpoints++) {
		struct cx_endpoint *e = cx_endpoint_new(jobs.web, &ca);

		ck_assert_ptr_nonnull(e);
		(void)strcpy(e->host, "127.0.0.1:1");
		e->plain = true;
		e->mirror = jobs.nendpoints == 0;
		jobs.endpoints[jobs.nendpoints] = e;
	}
}

static void teardown(void)
{
	cx_jobs_clear(&jobs);
	cx_endpoint_free(jobs.endpoints[0]);
	cx_endpoint_free(jobs.endpoints[1]);
	cx_web_close(jobs.web);
	close(ours);
	close(jobs.sock);
}

static void turn(void)
{
	struct pollfd fds[CX_FETCH_REQUESTS_MAX];
	int timeout, r;

	ck_assert_int_eq(cx_jobs_turn(&jobs, &err), 0);
	r = cx_web_turn(jobs.web, &err);
	ck_assert_int_ge(r, 0);
	timeout = r > 0 ? 0 : cx_jobs_timeout(&jobs);
	ck_assert_int_ge(timeout, 0);
	ck_assert_int_eq(cx_web_wait(jobs.web, fds, cx_jobs_poll(&jobs, fds),
				     timeout < 100 ? timeout : 100, &err),
			 0);
}

/* How the next job ends; the answer's type. On a slow day it tells of its progress before. */
static uint16_t answer(void)
{
	do {
		while (cx_packet_recv(ours, &pkt, &err) != 1)
			turn();
	} while (pkt.type == CX_MSG_fetch_progress);
	return pkt.type;
}

static struct cx_job *add(uint32_t request, enum cx_task task)
{
	struct cx_job *job = cx_job_new(&jobs, request, task);

	ck_assert_ptr_nonnull(job);
	(void)strcpy(job->repository, "a");
	(void)strcpy(job->reference, "b");
	if (task == CX_TASK_BLOB || task == CX_TASK_MANIFEST)
		ck_assert_int_eq(
			cx_download_open(&job->in, fileno(tmpfile()), -EBADF, 100, 0, &err), 0);
	return job;
}

static struct cx_msg_fetch_failed failure(void)
{
	struct cx_msg_fetch_failed m;

	ck_assert_uint_eq(answer(), CX_MSG_fetch_failed);
	ck_assert(cx_msg_fetch_failed_get(&pkt.body, &m));
	return m;
}

START_TEST(the_mirror_and_then_the_registry)
{
	struct cx_job *job = add(7, CX_TASK_MANIFEST);
	struct cx_msg_fetch_failed m;

	ck_assert_ptr_eq(cx_job_find(&jobs, 7), job);
	ck_assert_ptr_null(cx_job_find(&jobs, 8));
	m = failure();
	ck_assert_uint_eq(pkt.request, 7);
	ck_assert_uint_eq(m.reason, CX_FETCH_UNREACHABLE);
	ck_assert(jobs.endpoints[0]->down);
	ck_assert(!jobs.endpoints[1]->down);
	ck_assert_uint_eq(jobs.total, 0);
}
END_TEST

START_TEST(a_push_asks_no_mirror)
{
	(void)add(7, CX_TASK_PUT_BLOB);
	(void)failure();
	ck_assert(!jobs.endpoints[0]->down);
}
END_TEST

START_TEST(an_empty_blob_needs_nobody)
{
	struct cx_job *job = add(7, CX_TASK_BLOB);
	static const char nothing[] = "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9"
				      "\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52"
				      "\xb8\x55";

	memcpy(job->digest, nothing, sizeof job->digest);
	ck_assert_uint_eq(answer(), CX_MSG_fetch_got);
}
END_TEST

START_TEST(an_answer_comes)
{
	static const char bytes[] = "HTTP/1.0 200 OK\r\nContent-Type: X/Y; z\r\n\r\n{}";
	struct cx_msg_fetch_got m;

	(void)snprintf(jobs.endpoints[0]->host, 262, "127.0.0.1:%u",
		       serve(bytes, sizeof bytes - 1, 1));
	(void)add(7, CX_TASK_MANIFEST);
	ck_assert_uint_eq(answer(), CX_MSG_fetch_got);
	ck_assert(cx_msg_fetch_got_get(&pkt.body, &m));
	ck_assert_uint_eq(m.size, 2);
	ck_assert(cx_str_equal(m.media_type, "x/y"));
	ck_assert(cx_str_equal(m.endpoint, jobs.endpoints[0]->host));
}
END_TEST

/* How often a text occurs in what a server was asked. */
static unsigned seen_in(int file, const char *text)
{
	char asked[16384] = "";
	ssize_t n = pread(file, asked, sizeof asked - 1, 0);
	unsigned found = 0;

	ck_assert_int_gt(n, 0);
	for (const char *at = asked; (at = strstr(at, text)) != NULL; at++)
		found++;
	return found;
}

/* Credentials go to the registry; not to where it sends us, even if that asks for them. */
START_TEST(credentials_stay_at_home)
{
	int store = memfd_create("store", MFD_CLOEXEC), home = memfd_create("home", MFD_CLOEXEC);
	static const char wants[] = "HTTP/1.0 401 No\r\nWWW-Authenticate: Basic\r\n\r\n";
	char redirect[128];

	(void)snprintf(redirect, sizeof redirect,
		       "HTTP/1.0 307 There\r\nLocation: http://127.0.0.1:%u/x\r\n\r\n",
		       serve_seen(wants, sizeof wants - 1, 9, store));
	(void)snprintf(jobs.endpoints[1]->host, 262, "127.0.0.1:%u",
		       serve_seen(redirect, strlen(redirect), 9, home));
	jobs.endpoints[0]->down = true;
	jobs.endpoints[1]->user = strdup("u");
	jobs.endpoints[1]->password = strdup("p");
	jobs.endpoints[1]->wants = CX_SCHEME_BASIC;
	add(7, CX_TASK_MANIFEST)->tries = CX_JOB_TRIES - 1;
	ck_assert_uint_eq(failure().reason, CX_FETCH_UNAUTHORIZED);
	ck_assert_uint_eq(seen_in(home, "GET "), 1);
	ck_assert_uint_eq(seen_in(home, "Authorization: Basic dTpw"), 1);
	ck_assert_uint_eq(seen_in(store, "GET "), 1);
	ck_assert_uint_eq(seen_in(store, "Authorization"), 0);
	close(store);
	close(home);
}
END_TEST

START_TEST(a_wrong_blob_is_none)
{
	static const char bytes[] = "HTTP/1.0 200 OK\r\n\r\nfour";
	struct cx_job *job = add(7, CX_TASK_BLOB);

	jobs.endpoints[0]->down = true;
	(void)snprintf(jobs.endpoints[1]->host, 262, "127.0.0.1:%u",
		       serve(bytes, sizeof bytes - 1, 1));
	job->size = job->in.max = 4;
	ck_assert_uint_eq(failure().reason, CX_FETCH_DIGEST);
}
END_TEST

START_TEST(what_may_pass_is_tried_again_later)
{
	static const char bytes[] = "HTTP/1.0 503 No\r\n\r\nwords";
	uint64_t begin = cx_now_ms();
	struct cx_msg_fetch_failed m;

	(void)snprintf(jobs.endpoints[1]->host, 262, "127.0.0.1:%u",
		       serve(bytes, sizeof bytes - 1, CX_JOB_TRIES));
	jobs.endpoints[0]->down = true;
	(void)add(7, CX_TASK_MANIFEST);
	m = failure();
	ck_assert_uint_eq(m.reason, CX_FETCH_SERVER);
	ck_assert_uint_eq(m.http_status, 503);
	ck_assert_ptr_nonnull(memmem(m.text.p, m.text.len, "after 5 tries", 13));
	ck_assert_uint_ge(cx_now_ms() - begin, 500 + 1000 + 2000 + 4000);
}
END_TEST

START_TEST(only_so_many_at_once)
{
	static const char bytes[] = ""; /* it never says anything: its connections are in a queue */
	unsigned port = serve(bytes, 0, 0), states[CX_JOB_ENDED + 1] = { 0 };
	struct cx_fault fault;

	(void)port;
	for (uint32_t i = 1; i <= 9; i++)
		add(i, CX_TASK_MANIFEST)->tries = 1;
	ck_assert_int_eq(cx_jobs_turn(&jobs, &err), 0);
	ck_assert_int_eq(cx_jobs_turn(&jobs, &err), 0);
	for (struct cx_job *job = jobs.first; job != NULL; job = job->next)
		states[job->state]++;
	ck_assert_uint_eq(states[CX_JOB_RUNNING], CX_FETCH_PARALLEL);
	ck_assert_uint_eq(states[CX_JOB_QUEUED], 9 - CX_FETCH_PARALLEL);
	ck_assert_uint_eq(jobs.first->request, 1); /* the oldest first */
	ck_assert_int_eq(jobs.first->state, CX_JOB_RUNNING);

	(void)cx_fault_set(&fault, CX_FETCH_CANCELLED, CX_UNAVAILABLE, "cancelled");
	cx_job_fail(cx_job_find(&jobs, 9), &fault);
	cx_job_fail(cx_job_find(&jobs, 9), &fault);
	ck_assert_uint_eq(failure().reason, CX_FETCH_CANCELLED);
	ck_assert_uint_eq(pkt.request, 9);
}
END_TEST

/* The gateway does not read: answers wait, progress is left out, nothing is lost. */
START_TEST(a_full_socket)
{
	struct cx_fault fault;
	unsigned n = 0;
	int size = 4096;

	(void)cx_fault_set(&fault, CX_FETCH_CANCELLED, CX_UNAVAILABLE, "cancelled");
	ck_assert_int_eq(setsockopt(jobs.sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
	for (uint32_t i = 1; i <= CX_FETCH_REQUESTS_MAX; i++)
		cx_job_fail(add(i, CX_TASK_LOGIN), &fault);
	ck_assert_int_eq(cx_jobs_turn(&jobs, &err), 0);
	ck_assert_uint_gt(jobs.total, 0);
	for (; n < CX_FETCH_REQUESTS_MAX; n++) {
		ck_assert_uint_eq(failure().reason, CX_FETCH_CANCELLED);
		ck_assert_uint_eq(pkt.request, n + 1);
	}
	ck_assert_uint_eq(jobs.total, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/jobs");
	TCase *t = tcase_create("jobs");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_mirror_and_then_the_registry);
	tcase_add_test(t, a_push_asks_no_mirror);
	tcase_add_test(t, an_empty_blob_needs_nobody);
	tcase_add_test(t, an_answer_comes);
	tcase_add_test(t, credentials_stay_at_home);
	tcase_add_test(t, a_wrong_blob_is_none);
	tcase_add_test(t, what_may_pass_is_tried_again_later);
	tcase_add_test(t, only_so_many_at_once);
	tcase_add_test(t, a_full_socket);
	suite_add_tcase(s, t);
	return run_suite(s);
}
