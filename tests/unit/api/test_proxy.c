/* SPDX-License-Identifier: Apache-2.0 */
/* Connections through exposed ports, with an agent that is this test. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "check_main.h"

#include "api/exposedoor.h"
#include "api/proxy.h"
#include "api/tlsfront.h"

enum { TURNS = 2000, TURN_MS = 2 };

static struct cx_loop loop;
static struct cx_gateway gw;
static struct cx_exposure on;
static struct cx_err err;

/* ---- in place of the agent, and of who knows it ---------------------------------------------- */

static struct cx_call *asked; /* for a connection, and not answered yet */
static unsigned cuts;
static bool no_agent;

struct cx_session *cx_box_session(struct cx_box *box, struct cx_err *why)
{
	(void)box;
	if (no_agent)
		(void)cx_refuse(why, CX_CONFLICT, "the sandbox is paused");
	return no_agent ? NULL : (struct cx_session *)&gw;
}

void cx_box_touch(struct cx_box *box)
{
	(void)box;
}

int cx_session_port(struct cx_session *session, uint16_t port, uint32_t timeout_ms,
		    struct cx_call *call, struct cx_err *why)
{
	(void)session;
	(void)timeout_ms;
	(void)why;
	ck_assert_uint_eq(port, 8000);
	asked = call;
	return 0;
}

void cx_call_forget(struct cx_call *call)
{
	if (asked == call)
		asked = NULL;
}

struct cx_exposure *cx_exposedoor_find(const struct cx_gateway *gateway, struct cx_str host)
{
	(void)gateway;
	return host.len == 4 && memcmp(host.p, "here", 4) == 0 ? &on : NULL;
}

void cx_tlsfront_cut(struct cx_tlsfront *front, int plain)
{
	(void)front;
	(void)plain;
	cuts++;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void stop(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

static void turn(void)
{
	struct cx_timer timer = { .fire = stop };

	cx_timer_set(&loop, &timer, TURN_MS);
	loop.stop = false;
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	cx_timer_clear(&timer);
}

static void pair_of(int pair[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
}

static struct sockaddr_in client_at(uint32_t address)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
}

static int connect_by(struct cx_tlsfront *front, uint32_t address)
{
	struct sockaddr_in from = client_at(address);
	int pair[2];

	pair_of(pair);
	if (front != NULL)
		cx_proxy_begin_https(&gw, front, &pair[0], (struct sockaddr *)&from);
	else
		cx_proxy_begin(&on, &pair[0], (struct sockaddr *)&from);
	if (pair[0] >= 0)
		(void)close(pair[0]);
	return pair[1];
}

static int connect_to(void)
{
	return connect_by(NULL, 0xc0000207); /* 192.0.2.7 */
}

static void say(int sock, const char *text)
{
	ck_assert_int_eq(send(sock, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Until it holds what is looked for, or (NULL) until the end. */
static const char *hear(int sock, const char *until)
{
	static char text[65536];
	size_t have = 0;

	for (int i = 0; i < TURNS; i++) {
		ssize_t n = recv(sock, text + have, sizeof text - 1 - have, MSG_DONTWAIT);

		have += n > 0 ? (size_t)n : 0;
		text[have] = '\0';
		if (until != NULL ? strstr(text, until) != NULL : n == 0)
			return text;
		turn();
	}
	ck_abort_msg("'%s' does not come: '%s'", until != NULL ? until : "the end", text);
	return NULL;
}

/* What the server inside has of the connection that was asked for. */
static int join(void)
{
	struct cx_answer answer = { 0 };
	struct cx_call *call;
	int pair[2];

	for (int i = 0; i < TURNS && asked == NULL; i++)
		turn();
	ck_assert_ptr_nonnull(asked);
	call = asked;
	asked = NULL;
	pair_of(pair);
	answer.sock = &pair[0];
	call->done(call, &answer, NULL);
	return pair[1];
}

static void setup(void)
{
	struct rlimit files;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	asked = NULL;
	cuts = 0;
	no_agent = false;
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	gw = (struct cx_gateway){ .loop = &loop, .exposures = &on };
	on = (struct cx_exposure){ .row.port = 8000, .gw = &gw, .http = true };
	ck_assert_int_eq(cx_proxies_open(&gw, &gw.proxies, &err), 0);
}

static void teardown(void)
{
	cx_proxies_close(gw.proxies);
	turn();
	cx_loop_close(&loop);
	ck_assert_uint_eq(on.connections, 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(a_request_goes_in_and_its_answer_out)
{
	int client = connect_to(), server;
	const char *text;

	say(client, "POST /a HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: 1.2.3.4\r\n"
		    "Content-Length: 4\r\n\r\nbo");
	server = join();
	say(client, "dy");
	text = hear(server, "\r\n\r\nbody");
	ck_assert_msg(strncmp(text, "POST /a HTTP/1.1\r\n", 18) == 0, "%s", text);
	ck_assert_ptr_nonnull(strcasestr(text, "\r\nX-Forwarded-For: 192.0.2.7\r\n"));
	ck_assert_ptr_nonnull(strcasestr(text, "\r\nX-Forwarded-Proto: http\r\n"));
	ck_assert_ptr_null(strstr(text, "1.2.3.4"));
	say(server,
	    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	text = hear(client, NULL);
	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 103 "));
	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 200 OK\r\n"));
	ck_assert_str_eq(text + strlen(text) - 6, "\r\n\r\nhi");
	(void)close(client);
	(void)close(server);
}
END_TEST

static const struct {
	const char *request;
	enum cx_kind kind; /* with which the agent refuses; 0: it is not asked */
	bool no_agent;
	const char *status;
} refused[] = {
	{ "no request\r\n\r\n", 0, false, "HTTP/1.1 400 " },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
	  false, "HTTP/1.1 400 " },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", CX_UNAVAILABLE, false, "HTTP/1.1 502 " },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", CX_TIMEOUT, false, "HTTP/1.1 504 " },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, true, "HTTP/1.1 409 " },
};

START_TEST(a_refusal_says_why)
{
	struct cx_call *call;
	struct cx_err why;
	const char *text;
	int client;

	no_agent = refused[_i].no_agent;
	client = connect_to();
	say(client, refused[_i].request);
	for (int i = 0; i < TURNS && refused[_i].kind != 0 && asked == NULL; i++)
		turn();
	call = asked;
	asked = NULL;
	ck_assert_int_eq(call != NULL, refused[_i].kind != 0);
	if (call != NULL) {
		(void)cx_refuse(&why, refused[_i].kind, "nobody listens");
		call->done(call, NULL, &why);
	}
	text = hear(client, NULL);
	ck_assert_msg(strncmp(text, refused[_i].status, strlen(refused[_i].status)) == 0, "%s",
		      text);
	ck_assert_ptr_nonnull(strstr(text, "\"detail\""));
	(void)close(client);
}
END_TEST

static const char *const wrong_answers[] = {
	"no answer\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
	"",
};

/* What is wrong inside is told as such, and passed on to nobody. */
START_TEST(a_wrong_answer_is_not_passed_on)
{
	int client = connect_to(), server;
	const char *text;

	say(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	server = join();
	say(server, wrong_answers[_i]);
	ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
	text = hear(client, NULL);
	ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
	(void)close(client);
	(void)close(server);
}
END_TEST

/* One side says all it has to, and hears the other one out. */
START_TEST(bytes_pass_both_ways_and_ends_one_by_one)
{
	int client, server;

	on.http = false;
	client = connect_to();
	server = join();
	say(client, "ping");
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	ck_assert_str_eq(hear(server, NULL), "ping");
	say(server, "pong");
	ck_assert_str_eq(hear(client, "pong"), "pong");
	(void)close(server);
	ck_assert_str_eq(hear(client, NULL), "");
	(void)close(client);
}
END_TEST

START_TEST(a_sandbox_has_no_more_than_its_share)
{
	int clients[CX_PROXY_BOX_MAX + 1];

	for (size_t i = 0; i < CX_LEN(clients); i++)
		clients[i] = connect_to();
	ck_assert_ptr_nonnull(strstr(hear(clients[CX_PROXY_BOX_MAX], NULL), "HTTP/1.1 503 "));
	for (size_t i = 0; i < CX_LEN(clients); i++)
		(void)close(clients[i]);
}
END_TEST

START_TEST(names_that_nobody_has)
{
	struct cx_tlsfront *front = (struct cx_tlsfront *)&gw;
	int nobody = connect_by(front, 1), there = connect_by(front, 1);

	say(nobody, "GET / HTTP/1.1\r\nHost: there\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(hear(nobody, NULL), "HTTP/1.1 404 "));
	say(there, "GET / HTTP/1.1\r\nHost: here\r\n\r\n");
	for (int i = 0; i < TURNS && asked == NULL; i++)
		turn();
	ck_assert_ptr_nonnull(asked);
	(void)close(nobody);
	(void)close(there);
}
END_TEST

static bool is_open(int sock)
{
	char byte;

	return recv(sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Who only opens connections keeps nobody else out. */
START_TEST(a_client_has_no_more_than_its_share)
{
	enum { SHARE = CX_PROXY_HTTPS_MAX - CX_PROXY_HTTPS_MAX / 4, MORE = 3 };
	struct cx_tlsfront *front = (struct cx_tlsfront *)&gw;
	int clients[SHARE + MORE], other;

	for (size_t i = 0; i < CX_LEN(clients); i++)
		clients[i] = connect_by(front, 1);
	other = connect_by(front, 2);
	turn();
	for (size_t i = 0; i < CX_LEN(clients); i++)
		ck_assert_int_eq(is_open(clients[i]), i < SHARE);
	ck_assert(is_open(other));
	for (size_t i = 0; i < CX_LEN(clients); i++)
		(void)close(clients[i]);
	(void)close(other);
}
END_TEST

/* Nor by both kinds together, of which there is one bound. */
START_TEST(two_kinds_are_no_second_share)
{
	enum {
		HTTPS = CX_PROXY_HTTPS_MAX - CX_PROXY_HTTPS_MAX / 4,
		SHARE = CX_PROXY_MAX - CX_PROXY_MAX / 4,
		MORE = 3,
	};
	static int clients[SHARE + MORE];
	struct cx_tlsfront *front = (struct cx_tlsfront *)&gw;
	int other;

	for (unsigned i = 0; i < SHARE + MORE; i++)
		clients[i] = connect_by(i < HTTPS ? front : NULL, 1);
	other = connect_by(front, 2);
	turn();
	for (unsigned i = SHARE; i < SHARE + MORE; i++) {
		char byte;

		/* Cut off without a word: not the refusal of one sandbox that has too many. */
		ck_assert_int_eq(recv(clients[i], &byte, 1, MSG_DONTWAIT), 0);
	}
	ck_assert(is_open(other));
	for (unsigned i = 0; i < SHARE + MORE; i++)
		(void)close(clients[i]);
	(void)close(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/proxy");
	TCase *tc = tcase_create("proxy");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_request_goes_in_and_its_answer_out);
	tcase_add_loop_test(tc, a_refusal_says_why, 0, CX_LEN(refused));
	tcase_add_loop_test(tc, a_wrong_answer_is_not_passed_on, 0, CX_LEN(wrong_answers));
	tcase_add_test(tc, bytes_pass_both_ways_and_ends_one_by_one);
	tcase_add_test(tc, a_sandbox_has_no_more_than_its_share);
	tcase_add_test(tc, names_that_nobody_has);
	tcase_add_test(tc, a_client_has_no_more_than_its_share);
	tcase_add_test(tc, two_kinds_are_no_second_share);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
