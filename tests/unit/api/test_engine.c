/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the control protocol against a caissond that answers late, wrongly or not at all.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "check_main.h"

#include "api/engine.h"
#include "base/fd.h"

static struct cx_loop loop;
static struct cx_packet *scratch, *received;
static struct cx_engine *engine;
static int peer;
static unsigned done, failed, ended, lost;
static int got_fd;
static struct cx_err last;
static char last_id[33];

struct step { /* stops the loop when the awaited number of callbacks is there */
	struct cx_timer timer;
};

static void stop_soon(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

/* Long enough for what is sent on a socket pair to arrive. */
static void turn(void)
{
	struct step step = { .timer.fire = stop_soon };
	struct cx_err err;

	loop.stop = false;
	cx_timer_set(&loop, &step.timer, 20);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
}

static void on_ended(void *arg, const char *id, enum cx_end reason)
{
	(void)arg;
	ck_assert_int_eq(reason, CX_END_OOM);
	(void)strcpy(last_id, id);
	ended++;
}

static void on_lost(void *arg, const struct cx_err *err)
{
	(void)arg;
	last = *err;
	lost++;
}

static void on_done(struct cx_engine_call *call, struct cx_engine_answer *answer,
		    const struct cx_err *err)
{
	(void)call;
	if (err != NULL) {
		last = *err;
		failed++;
		return;
	}
	done++;
	if (answer->fd >= 0)
		got_fd = cx_take_fd(&answer->fd);
}

static void on_listed(struct cx_engine_call *call, const char *id)
{
	(void)call;
	(void)strcpy(last_id, id);
}

static void set_up(void)
{
	struct cx_engine_events events = { .ended = on_ended, .lost = on_lost };
	struct cx_err err;
	int pair[2];

	scratch = malloc(sizeof *scratch);
	received = malloc(sizeof *received);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	ck_assert_int_eq(cx_set_nonblock(peer, true, &err), 0);
	ck_assert_int_eq(cx_engine_open(&loop, scratch, &pair[0], &events, &engine, &err), 0);
	ck_assert_int_eq(pair[0], -EBADF);
	done = failed = ended = lost = 0;
	got_fd = -EBADF;
}

static void tear_down(void)
{
	cx_close(&peer);
	cx_close(&got_fd);
	cx_engine_close(engine);
	cx_loop_close(&loop);
	free(scratch);
	free(received);
}

/* The next request that caissond would see. */
static uint32_t expect(uint16_t type)
{
	struct cx_err err;

	ck_assert_int_eq(cx_packet_recv(peer, received, &err), 1);
	ck_assert_uint_eq(received->type, type);
	ck_assert_uint_ne(received->request, 0);
	return received->request;
}

static uint32_t ask_create(struct cx_engine_call *call)
{
	struct cx_msg_create plan = {
		.cpu_milli = 1000, .memory_bytes = 1 << 20, .pids = 10, .hostname = cx_str_of("h")
	};
	struct cx_err err;

	call->done = on_done;
	ck_assert_int_eq(cx_engine_create(engine, &plan, call, &err), 0);
	return expect(CX_MSG_create);
}

static void answer_created(uint32_t request, int fd)
{
	struct cx_msg_created m = { .id = cx_str_of("abc") };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_created_send(peer, request, &m, &fd, fd >= 0, &err), 0);
}

START_TEST(an_answer_reaches_its_question)
{
	struct cx_engine_call first = { 0 }, second = { 0 };
	uint32_t one = ask_create(&first), two = ask_create(&second);
	struct cx_msg_control_error bad = { .kind = CX_LIMIT, .text = cx_str_of("no ids") };
	struct cx_err err;

	answer_created(two, peer);
	turn();
	ck_assert_uint_eq(done, 1);
	ck_assert_int_ge(got_fd, 0);
	ck_assert_int_eq(cx_msg_control_error_send(peer, one, &bad, NULL, 0, &err), 0);
	turn();
	ck_assert_uint_eq(failed, 1);
	ck_assert_int_eq(last.kind, CX_LIMIT);
	ck_assert_str_eq(last.msg, "no ids");
	ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(counts_are_told)
{
	struct cx_engine_call call = { .done = on_done };
	struct cx_msg_counted m = { .blank = 4, .running = 2, .gateways = 1 };
	struct cx_err err;
	uint32_t request;

	ck_assert_int_eq(cx_engine_count(engine, &call, &err), 0);
	request = expect(CX_MSG_count);
	ck_assert_int_eq(cx_msg_counted_send(peer, request, &m, NULL, 0, &err), 0);
	turn();
	ck_assert_uint_eq(done, 1);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

/* _i: with the socket, and without, which is no answer. */
START_TEST(a_listening_socket_comes_with_its_port)
{
	struct cx_engine_call call = { .done = on_done };
	struct cx_msg_listening m = { .port = 20000 };
	struct cx_msg_listen asked;
	struct cx_err err;
	uint32_t request;

	ck_assert_int_eq(cx_engine_listen(engine, CX_LISTEN_SSH, 7, &call, &err), 0);
	request = expect(CX_MSG_listen);
	ck_assert(cx_msg_listen_get(&received->body, &asked));
	ck_assert_uint_eq(asked.purpose, CX_LISTEN_SSH);
	ck_assert_uint_eq(asked.port, 7);
	ck_assert_int_eq(cx_msg_listening_send(peer, request, &m, &peer, _i == 0, &err), 0);
	turn();
	ck_assert_uint_eq(done, _i == 0);
	ck_assert_uint_eq(lost, _i != 0);
	ck_assert(got_fd >= 0 || _i != 0);
}
END_TEST

START_TEST(a_list_comes_in_pieces)
{
	struct cx_engine_call call = { .done = on_done, .listed = on_listed };
	struct cx_msg_listed m = { .id = cx_str_of("xyz") };
	struct cx_msg_list_end end;
	struct cx_err err;
	uint32_t request;

	memset(&end, 0, sizeof end);
	ck_assert_int_eq(cx_engine_list(engine, &call, &err), 0);
	request = expect(CX_MSG_list);
	ck_assert_int_eq(cx_msg_listed_send(peer, request, &m, NULL, 0, &err), 0);
	ck_assert_int_eq(cx_msg_list_end_send(peer, request, &end, NULL, 0, &err), 0);
	turn();
	ck_assert_str_eq(last_id, "xyz");
	ck_assert_uint_eq(done, 1);
}
END_TEST

START_TEST(events_need_no_question)
{
	struct cx_msg_ended m = { .id = cx_str_of("gone"), .reason = CX_END_OOM };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_ended_send(peer, 0, &m, NULL, 0, &err), 0);
	turn();
	ck_assert_uint_eq(ended, 1);
	ck_assert_str_eq(last_id, "gone");
}
END_TEST

START_TEST(a_sandbox_that_comes_too_late_is_destroyed)
{
	struct cx_engine_call call = { 0 };
	uint32_t request = ask_create(&call);

	cx_engine_forget(&call);
	answer_created(request, peer);
	turn();
	ck_assert_uint_eq(done + failed, 0);
	(void)expect(CX_MSG_destroy);
}
END_TEST

START_TEST(a_closed_connection_fails_everything)
{
	struct cx_engine_call one = { 0 }, two = { .done = on_done };
	struct cx_err err;

	(void)ask_create(&one);
	ck_assert_int_eq(cx_engine_destroy(engine, "a", &two, &err), 0);
	cx_close(&peer);
	turn();
	ck_assert_uint_eq(failed, 2);
	ck_assert_uint_eq(lost, 1);
	ck_assert_int_lt(cx_engine_destroy(engine, "a", &two, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
}
END_TEST

static void send_wrong_type(uint32_t request)
{
	struct cx_msg_used m = { 0 };
	struct cx_err err;

	ck_assert_int_eq(cx_msg_used_send(peer, request, &m, NULL, 0, &err), 0);
}

static void send_no_fd(uint32_t request)
{
	answer_created(request, -1);
}

static void send_unknown_event(uint32_t request)
{
	struct cx_msg_used m = { 0 };
	struct cx_err err;

	(void)request;
	ck_assert_int_eq(cx_msg_used_send(peer, 0, &m, NULL, 0, &err), 0);
}

static void send_rubbish(uint32_t request)
{
	(void)request;
	ck_assert_int_eq(send(peer, "rubbish rubbish", 15, 0), 15);
}

static void send_empty_id(uint32_t request)
{
	struct cx_msg_ended m = { .id = cx_str_of(""), .reason = CX_END_OOM };
	struct cx_err err;

	(void)request;
	ck_assert_int_eq(cx_msg_ended_send(peer, 0, &m, NULL, 0, &err), 0);
}

static void (*const breaches[])(uint32_t request) = { send_wrong_type, send_no_fd,
						      send_unknown_event, send_rubbish,
						      send_empty_id };

START_TEST(a_breach_ends_the_connection)
{
	struct cx_engine_call call = { 0 };

	breaches[_i](ask_create(&call));
	turn();
	ck_assert_uint_eq(done, 0);
	ck_assert_uint_eq(failed, 1);
	ck_assert_uint_eq(lost, 1);
}
END_TEST

START_TEST(a_deaf_caissond_costs_bounded_memory)
{
	struct cx_msg_create plan = { .cpu_milli = 1000, .hostname = cx_str_of("h") };
	static struct cx_engine_call calls[3 * CX_ENGINE_QUEUE_MAX];
	struct cx_err err = { 0 };
	unsigned n = 0, seen = 0;

	for (; n < CX_LEN(calls); n++) {
		calls[n] = (struct cx_engine_call){ .done = on_done };
		if (cx_engine_create(engine, &plan, &calls[n], &err) < 0)
			break;
	}
	ck_assert_uint_lt(n, CX_LEN(calls));
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	for (int idle = 0; idle < 3; turn()) { /* and nothing was lost or turned round */
		while (cx_packet_recv(peer, received, &err) == 1) {
			ck_assert_uint_eq(received->request, ++seen);
			idle = 0;
		}
		idle++;
	}
	ck_assert_uint_eq(seen, n);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/engine");
	TCase *tc = tcase_create("engine");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, an_answer_reaches_its_question);
	tcase_add_test(tc, a_list_comes_in_pieces);
	tcase_add_test(tc, counts_are_told);
	tcase_add_loop_test(tc, a_listening_socket_comes_with_its_port, 0, 2);
	tcase_add_test(tc, events_need_no_question);
	tcase_add_test(tc, a_sandbox_that_comes_too_late_is_destroyed);
	tcase_add_test(tc, a_closed_connection_fails_everything);
	tcase_add_loop_test(tc, a_breach_ends_the_connection, 0, CX_LEN(breaches));
	tcase_add_test(tc, a_deaf_caissond_costs_bounded_memory);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
