/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the registry worker against one that answers late, wrongly or not at all. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api/transfer.h"
#include "base/fd.h"
#include "check_main.h"

/* One call, and what came of it. Static in the tests: some are closed only behind them. */
struct ask {
	struct cx_transfer_call call;
	unsigned done, progress;
	struct cx_transfer_answer answer;
	struct cx_err err;
	uint64_t bytes, total;
	bool closes;
};

static struct cx_loop loop;
static struct cx_gateway gw;
static struct cx_packet *received;
static struct cx_transfer *transfer;
static int caissond, worker, file;
static uint32_t fetch_request;
static const uint8_t digest[32] = { 0xab, 1, 2, 3 };

static void stop_soon(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

static void turn_ms(uint64_t ms)
{
	struct cx_timer timer = { .fire = stop_soon };
	struct cx_err err;

	loop.stop = false;
	cx_timer_set(&loop, &timer, ms);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
}

static void turn(void)
{
	turn_ms(20);
}

static void on_done(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
		    const struct cx_err *err)
{
	struct ask *ask = cx_container_of(call, struct ask, call);

	ask->done++;
	ask->answer = *answer;
	ask->err = err != NULL ? *err : (struct cx_err){ 0 };
	if (ask->closes) {
		cx_transfer_close(transfer);
		transfer = NULL;
	}
}

static void on_progress(struct cx_transfer_call *call, uint64_t bytes, uint64_t total)
{
	struct ask *ask = cx_container_of(call, struct ask, call);

	ask->progress++;
	ask->bytes = bytes;
	ask->total = total;
}

static void on_ended(void *arg, const char *id, enum cx_end reason)
{
	(void)arg;
	(void)id;
	(void)reason;
}

static void on_lost(void *arg, const struct cx_err *err)
{
	(void)arg;
	(void)err;
}

/* The next packet at sock; its request number. */
static uint32_t expect(int sock, uint16_t type, unsigned nfds)
{
	struct cx_err err;

	cx_packet_drop(received);
	ck_assert_int_eq(cx_packet_recv(sock, received, &err), 1);
	ck_assert_uint_eq(received->type, type);
	ck_assert_uint_eq(received->nfds, nfds);
	ck_assert_int_eq(received->request == 0, type == CX_MSG_fetch_endpoint);
	return received->request;
}

static void open_transfer(void)
{
	struct cx_msg_fetch_endpoint endpoint = { .host = cx_str_of("registry.example:5000"),
						  .prefix = cx_str_of("mirror"),
						  .flags = CX_FETCH_PLAIN_HTTP,
						  .user = cx_str_of("u"),
						  .password = cx_str_of("secret") };
	struct cx_msg_fetch_endpoint m;
	struct cx_err err;

	ck_assert_int_eq(cx_transfer_open(&gw, &endpoint, 1, &transfer, &err), 0);
	fetch_request = expect(caissond, CX_MSG_fetch, 1);
	worker = cx_take_fd(&received->fds[0]);
	ck_assert_int_eq(cx_set_nonblock(worker, true, &err), 0);
	(void)expect(worker, CX_MSG_fetch_endpoint, 0);
	ck_assert(cx_msg_fetch_endpoint_get(&received->body, &m));
	ck_assert(cx_str_equal(m.host, "registry.example:5000"));
	ck_assert(cx_str_equal(m.prefix, "mirror"));
	ck_assert(cx_str_equal(m.password, "secret"));
	ck_assert_uint_eq(m.flags, CX_FETCH_PLAIN_HTTP);
}

static void set_up(void)
{
	struct cx_engine_events events = { .ended = on_ended, .lost = on_lost };
	struct cx_err err;
	int pair[2];

	received = calloc(1, sizeof *received);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	caissond = pair[1];
	gw = (struct cx_gateway){ .loop = &loop, .scratch = malloc(sizeof *gw.scratch) };
	ck_assert_int_eq(cx_engine_open(&loop, gw.scratch, &pair[0], &events, &gw.engine, &err), 0);
	file = memfd_create("file", MFD_CLOEXEC);
	open_transfer();
}

static void tear_down(void)
{
	cx_packet_drop(received);
	cx_transfer_close(transfer);
	transfer = NULL;
	cx_engine_close(gw.engine);
	cx_loop_close(&loop);
	cx_close(&worker);
	cx_close(&caissond);
	cx_close(&file);
	free(gw.scratch);
	free(received);
}

static uint32_t ask_blob(struct ask *ask)
{
	struct cx_err err;

	ask->call = (struct cx_transfer_call){ .done = on_done, .progress = on_progress };
	ck_assert_int_eq(
		cx_transfer_blob(transfer, "a/b", digest, 1000, 10, file, -EBADF, &ask->call, &err),
		0);
	return expect(worker, CX_MSG_fetch_blob, 1);
}

static void answer_got(uint32_t request)
{
	struct cx_msg_fetch_got m = { .size = 1000,
				      .digest = { (const char *)digest, 32 },
				      .media_type = cx_str_of("application/x"),
				      .claimed = cx_str_of("sha256:12"),
				      .endpoint = cx_str_of("registry.example:5000") };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_fetch_got_send(worker, request, &m, NULL, 0, &err), 0);
}

static void answer_failed(uint32_t request, const char *text)
{
	struct cx_msg_fetch_failed m = { .reason = CX_FETCH_UNAUTHORIZED,
					 .http_status = 401,
					 .kind = CX_DENIED,
					 .text = cx_str_of(text) };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_fetch_failed_send(worker, request, &m, NULL, 0, &err), 0);
}

static void answer_progress(uint32_t request, uint64_t bytes)
{
	struct cx_msg_fetch_progress m = { .bytes = bytes, .total = 1000 };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_fetch_progress_send(worker, request, &m, NULL, 0, &err), 0);
}

static void worker_ends(uint32_t kind, const char *text)
{
	struct cx_msg_control_error bad = { .kind = kind,
					    .text = cx_str_of(text != NULL ? text : "") };
	struct cx_msg_fetched good;
	struct cx_err err;

	memset(&good, 0, sizeof good);
	if (text != NULL)
		ck_assert_int_eq(
			cx_msg_control_error_send(caissond, fetch_request, &bad, NULL, 0, &err), 0);
	else
		ck_assert_int_eq(cx_msg_fetched_send(caissond, fetch_request, &good, NULL, 0, &err),
				 0);
}

/* ---- answers --------------------------------------------------------------------------------- */

START_TEST(an_answer_reaches_its_question)
{
	static struct ask one = { 0 }, two = { 0 };
	uint32_t first = ask_blob(&one), second = ask_blob(&two);

	answer_progress(second, 500);
	answer_got(second);
	turn();
	ck_assert_uint_eq(one.done, 0);
	ck_assert_uint_eq(two.done, 1);
	ck_assert_uint_eq(two.progress, 1);
	ck_assert_uint_eq(two.bytes, 500);
	ck_assert_uint_eq(two.total, 1000);
	ck_assert_int_eq(two.err.errnum, 0);
	ck_assert_uint_eq(two.answer.size, 1000);
	ck_assert_mem_eq(two.answer.digest, digest, 32);
	ck_assert_str_eq(two.answer.media_type, "application/x");
	ck_assert_str_eq(two.answer.claimed, "sha256:12");
	ck_assert_str_eq(two.answer.endpoint, "registry.example:5000");
	answer_failed(first, "wrong password");
	turn();
	ck_assert_uint_eq(one.done, 1);
	ck_assert_int_eq(one.err.kind, CX_DENIED);
	ck_assert_str_eq(one.err.msg, "wrong password");
	ck_assert_int_eq(one.answer.reason, CX_FETCH_UNAUTHORIZED);
	ck_assert_uint_eq(one.answer.http_status, 401);
}
END_TEST

START_TEST(questions_say_what_was_asked)
{
	static struct ask asks[5] = { 0 };
	struct cx_msg_fetch_manifest manifest;
	struct cx_msg_fetch_blob blob;
	struct cx_msg_fetch_put_blob put_blob;
	struct cx_msg_fetch_put_manifest put_manifest;
	struct stat want, is;
	struct cx_err err;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(cx_transfer_login(transfer, &asks[0].call, &err), 0);
	ck_assert_int_eq(
		cx_transfer_manifest(transfer, "a/b", "latest", 77, file, &asks[1].call, &err), 0);
	ck_assert_int_eq(
		cx_transfer_blob(transfer, "a/b", digest, 9, 4, file, ends[1], &asks[2].call, &err),
		0);
	ck_assert_int_eq(
		cx_transfer_put_blob(transfer, "c", digest, 9, "from", file, &asks[3].call, &err),
		0);
	ck_assert_int_eq(
		cx_transfer_put_manifest(transfer, "c", "v1", "type", file, &asks[4].call, &err),
		0);
	(void)expect(worker, CX_MSG_fetch_login, 0);
	(void)expect(worker, CX_MSG_fetch_manifest, 1);
	ck_assert(cx_msg_fetch_manifest_get(&received->body, &manifest));
	ck_assert(cx_str_equal(manifest.repository, "a/b"));
	ck_assert(cx_str_equal(manifest.reference, "latest"));
	ck_assert_uint_eq(manifest.max_bytes, 77);
	ck_assert_int_eq(fstat(file, &want), 0);
	ck_assert_int_eq(fstat(received->fds[0], &is), 0);
	ck_assert_uint_eq(want.st_ino, is.st_ino);
	(void)expect(worker, CX_MSG_fetch_blob, 2);
	ck_assert(cx_msg_fetch_blob_get(&received->body, &blob));
	ck_assert_mem_eq(blob.digest.p, digest, 32);
	ck_assert_uint_eq(blob.size, 9);
	ck_assert_uint_eq(blob.offset, 4);
	ck_assert_int_eq(fstat(received->fds[1], &is), 0);
	ck_assert(S_ISFIFO(is.st_mode));
	(void)expect(worker, CX_MSG_fetch_put_blob, 1);
	ck_assert(cx_msg_fetch_put_blob_get(&received->body, &put_blob));
	ck_assert(cx_str_equal(put_blob.from, "from"));
	ck_assert_uint_eq(put_blob.size, 9);
	(void)expect(worker, CX_MSG_fetch_put_manifest, 1);
	ck_assert(cx_msg_fetch_put_manifest_get(&received->body, &put_manifest));
	ck_assert(cx_str_equal(put_manifest.reference, "v1"));
	ck_assert(cx_str_equal(put_manifest.media_type, "type"));
	(void)close(ends[0]);
	(void)close(ends[1]);
}
END_TEST

START_TEST(cancelled_calls_are_answered_and_forgotten_ones_are_not)
{
	static struct ask one = { 0 }, two = { 0 };
	uint32_t first = ask_blob(&one), second = ask_blob(&two);

	cx_transfer_cancel(&one.call);
	ck_assert_uint_eq(expect(worker, CX_MSG_fetch_cancel, 0), first);
	cx_transfer_forget(&two.call);
	ck_assert_uint_eq(expect(worker, CX_MSG_fetch_cancel, 0), second);
	answer_progress(second, 1);
	answer_failed(second, "cancelled");
	answer_failed(first, "cancelled");
	turn();
	ck_assert_uint_eq(one.done, 1);
	ck_assert_uint_eq(two.done + two.progress, 0);
	(void)ask_blob(&two); /* it goes on */
}
END_TEST

START_TEST(requests_have_a_maximum)
{
	static struct ask asks[CX_FETCH_REQUESTS_MAX + 1];
	struct cx_err err = { 0 };
	uint32_t forgotten = 0;

	for (unsigned i = 0; i < CX_FETCH_REQUESTS_MAX; i++)
		forgotten = ask_blob(&asks[i]);
	cx_transfer_forget(&asks[CX_FETCH_REQUESTS_MAX - 1].call);
	ck_assert_int_lt(cx_transfer_login(transfer, &asks[CX_FETCH_REQUESTS_MAX].call, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	(void)expect(worker, CX_MSG_fetch_cancel, 0);
	answer_failed(forgotten, "cancelled"); /* which makes room */
	turn();
	ck_assert_int_eq(cx_transfer_login(transfer, &asks[CX_FETCH_REQUESTS_MAX].call, &err), 0);
}
END_TEST

START_TEST(fields_that_do_not_fit_are_refused)
{
	static struct ask ask = { 0 };
	char name[CX_FETCH_REPOSITORY_MAX + 2];
	struct cx_err err;

	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	ck_assert_int_lt(
		cx_transfer_blob(transfer, name, digest, 1, 0, file, -EBADF, &ask.call, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

/* A worker that does not read costs bounded memory, and gets all once it does. */
START_TEST(a_deaf_worker_is_waited_for)
{
	static char ca[CX_FETCH_CA_MAX];
	struct cx_msg_fetch_endpoint endpoints[CX_FETCH_ENDPOINTS_MAX];
	struct cx_transfer *second = NULL;
	struct cx_err err;
	unsigned seen = 0;

	memset(ca, 'c', sizeof ca);
	for (size_t i = 0; i < CX_LEN(endpoints); i++)
		endpoints[i] = (struct cx_msg_fetch_endpoint){ .host = cx_str_of("h"),
							       .ca = { ca, sizeof ca } };
	ck_assert_int_eq(cx_transfer_open(&gw, endpoints, CX_LEN(endpoints), &second, &err), 0);
	(void)expect(caissond, CX_MSG_fetch, 1);
	cx_close(&worker);
	worker = cx_take_fd(&received->fds[0]);
	ck_assert_int_eq(cx_set_nonblock(worker, true, &err), 0);
	for (int idle = 0; idle < 3; idle++, turn())
		while (cx_packet_recv(worker, received, &err) == 1) {
			ck_assert_uint_eq(received->type, CX_MSG_fetch_endpoint);
			seen++;
			idle = 0;
		}
	ck_assert_uint_eq(seen, CX_FETCH_ENDPOINTS_MAX);
	cx_transfer_close(second);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

static void expect_failed(const struct ask *ask, enum cx_kind kind, const char *text)
{
	ck_assert_uint_eq(ask->done, 1);
	ck_assert_int_eq(ask->err.kind, kind);
	ck_assert_msg(strstr(ask->err.msg, text) != NULL, "%s", ask->err.msg);
}

START_TEST(a_worker_that_ends_fails_everything)
{
	static struct ask one = { 0 }, two = { 0 };
	struct cx_err err;

	(void)ask_blob(&one);
	(void)ask_blob(&two);
	cx_close(&worker);
	turn();
	ck_assert_uint_eq(one.done, 0); /* caissond may know more */
	ck_assert_int_lt(cx_transfer_login(transfer, &two.call, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	worker_ends(CX_INVALID, "caisson-fetch killed by signal 9");
	turn();
	expect_failed(&one, CX_INTERNAL, "killed by signal 9");
	expect_failed(&two, CX_INTERNAL, "killed by signal 9");
	ck_assert_int_lt(cx_transfer_login(transfer, &two.call, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
}
END_TEST

START_TEST(a_worker_that_cannot_start_is_said)
{
	static struct ask one = { 0 };

	(void)ask_blob(&one);
	worker_ends(CX_UNAVAILABLE, "the engine is stopping");
	turn();
	ck_assert_uint_eq(one.done, 0);
	cx_close(&worker);
	turn();
	expect_failed(&one, CX_UNAVAILABLE, "the engine is stopping");
}
END_TEST

START_TEST(last_words_are_heard)
{
	static struct ask one = { 0 };

	(void)ask_blob(&one);
	worker_ends(CX_INVALID, "caisson-fetch exited with status 1");
	answer_failed(0, "a field of an endpoint");
	cx_close(&worker);
	turn();
	expect_failed(&one, CX_DENIED, "a field of an endpoint");
}
END_TEST

START_TEST(nobody_tells_why_it_ended)
{
	static struct ask one = { 0 };

	(void)ask_blob(&one);
	cx_close(&worker);
	turn_ms(2500);
	expect_failed(&one, CX_UNAVAILABLE, "has ended");
}
END_TEST

START_TEST(a_process_that_is_gone_is_not_waited_for)
{
	static struct ask one = { 0 };

	(void)ask_blob(&one);
	worker_ends(0, NULL); /* and somebody else holds its socket */
	turn_ms(2500);
	expect_failed(&one, CX_UNAVAILABLE, "has ended");
}
END_TEST

START_TEST(closing_ends_the_worker_and_all_calls)
{
	static struct ask one = { 0 };
	struct cx_err err;

	(void)ask_blob(&one);
	cx_transfer_close(transfer);
	transfer = NULL;
	turn();
	ck_assert_uint_eq(one.done, 0);
	ck_assert_int_eq(cx_packet_recv(worker, received, &err), 0);
	worker_ends(0, NULL); /* answered to nobody */
	turn();
}
END_TEST

START_TEST(a_callback_may_close)
{
	static struct ask one = { 0 }, two = { .closes = true }, three = { 0 };
	uint32_t request;

	(void)ask_blob(&one);
	request = ask_blob(&two);
	(void)ask_blob(&three);
	if (_i == 0) { /* at an answer, with more behind it */
		answer_got(request);
		answer_got(request);
	} else if (_i == 1) { /* at the end, told by caissond */
		cx_close(&worker);
		turn();
		worker_ends(0, NULL);
	} else { /* at the end, told by nobody */
		cx_close(&worker);
		turn_ms(2500);
	}
	turn();
	ck_assert_uint_eq(two.done, 1);
	ck_assert_uint_eq(one.done, 0);
	ck_assert_uint_eq(three.done, _i == 0 ? 0 : 1); /* newest first */
}
END_TEST

static void send_strange_type(uint32_t request)
{
	struct cx_msg_fetch_cancel m;
	struct cx_err err;

	memset(&m, 0, sizeof m);
	ck_assert_int_eq(cx_msg_fetch_cancel_send(worker, request, &m, NULL, 0, &err), 0);
}

static void send_to_nobody(uint32_t request)
{
	answer_got(request + 1);
}

static void send_twice(uint32_t request)
{
	answer_got(request);
	answer_got(request);
}

static void send_descriptor(uint32_t request)
{
	struct cx_msg_fetch_progress m = { .bytes = 1 };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_fetch_progress_send(worker, request, &m, &file, 1, &err), 0);
}

static void send_short_digest(uint32_t request)
{
	struct cx_msg_fetch_got m = { .digest = { (const char *)digest, 31 } };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_fetch_got_send(worker, request, &m, NULL, 0, &err), 0);
}

static void send_rubbish(uint32_t request)
{
	(void)request;
	ck_assert_int_eq(send(worker, "rubbish rubbish", 15, 0), 15);
}

static void (*const breaches[])(uint32_t request) = { send_strange_type, send_to_nobody,
						      send_twice,	 send_descriptor,
						      send_short_digest, send_rubbish };

START_TEST(a_breach_ends_the_worker)
{
	static struct ask one = { 0 }, other = { 0 };
	struct cx_err err;
	int r;

	(void)ask_blob(&other);
	breaches[_i](ask_blob(&one));
	turn();
	expect_failed(&other, CX_INTERNAL, "registry worker");
	ck_assert_uint_eq(one.done, 1);
	r = cx_packet_recv(worker, received, &err);
	ck_assert_msg(r == 0 || r == -ECONNRESET, "%d", r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/transfer");
	TCase *tc = tcase_create("transfer");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, an_answer_reaches_its_question);
	tcase_add_test(tc, questions_say_what_was_asked);
	tcase_add_test(tc, cancelled_calls_are_answered_and_forgotten_ones_are_not);
	tcase_add_test(tc, requests_have_a_maximum);
	tcase_add_test(tc, fields_that_do_not_fit_are_refused);
	tcase_add_test(tc, a_deaf_worker_is_waited_for);
	tcase_add_test(tc, a_worker_that_ends_fails_everything);
	tcase_add_test(tc, a_worker_that_cannot_start_is_said);
	tcase_add_test(tc, last_words_are_heard);
	tcase_add_test(tc, nobody_tells_why_it_ended);
	tcase_add_test(tc, a_process_that_is_gone_is_not_waited_for);
	tcase_add_test(tc, closing_ends_the_worker_and_all_calls);
	tcase_add_loop_test(tc, a_callback_may_close, 0, 3);
	tcase_add_loop_test(tc, a_breach_ends_the_worker, 0, CX_LEN(breaches));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
