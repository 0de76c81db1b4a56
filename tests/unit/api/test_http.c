/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that do not wait for the body: a client that sends all of it first still gets them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check_main.h"

#include "api/http.h"
#include "api/linger.h"

static pid_t server;
static union {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in in;
} address;
static socklen_t address_len;

static int listen_at(void)
{
	int sock = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(sock, 0);
	ck_assert_int_eq(bind(sock, &address.any, address_len), 0);
	ck_assert_int_eq(getsockname(sock, &address.any, &address_len), 0);
	ck_assert_int_eq(listen(sock, 64), 0);
	return sock;
}

/* In the abstract, so there is nothing to remove. */
static void choose_name(void)
{
	address.un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	address_len = sizeof address.un;
	(void)snprintf(address.un.sun_path + 1, sizeof address.un.sun_path - 1, "test-http-%d",
		       getpid());
}

static void choose_port(void)
{
	address.in = (struct sockaddr_in){ .sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	address_len = sizeof address.in;
}

static _Noreturn void serve(int sock, bool trusted)
{
	static const struct cx_auth nobody;
	struct cx_loop loop;
	struct cx_err err;
	struct cx_http *http;
	struct cx_http_options options = { .loop = &loop,
					   .auth = &nobody,
					   .spool_dir = AT_FDCWD,
					   .file_body_max = 1 << 20,
					   .connections_max = 64,
					   .strangers_max = 64 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (cx_loop_open(&loop, &err) == 0 && cx_http_open(&options, &http, &err) == 0 &&
	    cx_http_listen(http, &sock, trusted, &err) == 0)
		(void)!cx_loop_run(&loop, &err);
	_exit(1);
}

static void start_server(bool trusted)
{
	int sock = listen_at();

	(void)signal(SIGPIPE, SIG_IGN);
	server = fork();
	if (server == 0)
		serve(sock, trusted);
	ck_assert_int_gt(server, 0);
	(void)close(sock);
}

static void start_trusted(void)
{
	choose_name();
	start_server(true);
}

static void start_untrusted(void)
{
	choose_name();
	start_server(false);
}

static void start_tcp(void)
{
	choose_port();
	start_server(false);
}

static void stop_server(void)
{
	(void)kill(server, SIGKILL);
	ck_assert_int_eq(waitpid(server, NULL, 0), server);
}

static int connect_to(void)
{
	struct timeval patience = { .tv_sec = 10 };
	int sock = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(sock, &address.any, address_len), 0);
	ck_assert_int_eq(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	return sock;
}

/* How much of it could be sent. */
static size_t send_zeros(int sock, size_t n)
{
	static const char zeros[65536];
	size_t sent = 0;

	while (sent < n) {
		size_t want = n - sent < sizeof zeros ? n - sent : sizeof zeros;
		ssize_t got = write(sock, zeros, want);

		if (got < 0)
			break;
		sent += (size_t)got;
	}
	return sent;
}

static void send_head(int sock, const char *line, const char *headers)
{
	char head[512];
	int n = snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", line, headers);

	ck_assert_int_eq(write(sock, head, (size_t)n), n);
}

/* The status of one answer, read to the end of its body; 0 when there is none. */
static int read_status(int sock)
{
	char text[4096];
	size_t have = 0, want = 0;
	ssize_t n;

	while (want == 0 || have < want) {
		n = read(sock, text + have, sizeof text - 1 - have);
		if (n <= 0)
			return 0;
		have += (size_t)n;
		text[have] = '\0';
		if (want == 0 && strstr(text, "\r\n\r\n") != NULL) {
			const char *length = strcasestr(text, "Content-Length:");

			ck_assert_ptr_nonnull(length);
			want = (size_t)(strstr(text, "\r\n\r\n") + 4 - text) +
			       strtoul(length + 15, NULL, 10);
		}
	}
	ck_assert_int_eq(strncmp(text, "HTTP/1.1 ", 9), 0);
	return atoi(text + 9);
}

static const struct {
	const char *line, *headers;
	size_t body;
	int status;
	bool kept; /* the connection goes on after it */
} requests[] = {
	{ "GET /healthz", "", 0, 200, true },
	{ "GET /nowhere", "", 0, 404, true },
	{ "POST /nowhere", "Content-Length: 5\r\n", 5, 404, true },
	{ "DELETE /nowhere", "Content-Length: 300000\r\n", 300000, 404, true },
	{ "PUT /api/v1/sandbox", "Content-Length: 8388608\r\n", 8 << 20, 405, true },
	{ "PATCH /api/v1/sandbox", "Content-Length: 8388608\r\n", 8 << 20, 405, true },
	{ "POST /api/v1/sandbox", "Content-Length: 1048577\r\n", (1 << 20) + 1, 413, true },
	{ "POST /api/v1/sandbox", "Content-Length: 67108864\r\n", 64 << 20, 413, true },
	{ "POST /api/v1/images", "Content-Length: 8388608\r\n", 8 << 20, 413, true },
	{ "DELETE /api/v1/sandbox", "Content-Length: 8388608\r\n", 8 << 20, 413, true },
	/* What is taken as it comes: all of a large file is read, so that its refusal arrives. */
	{ "PUT /api/v1/sandbox/x/files", "Content-Length: 300000000\r\n", 300000000, 413, true },
	/* More than is read for the answer's sake: it comes first, and the connection ends. */
	{ "POST /nowhere", "Content-Length: 1000000000\r\n", 16 << 20, 404, false },
	{ "POST /api/v1/sandbox", "Content-Length: 1000000000\r\n", 16 << 20, 413, false },
	{ "POST /nowhere", "Content-Length: 10\r\nExpect: 100-continue\r\n", 0, 404, false },
	{ "POST /api/v1/sandbox", "Content-Length : 2\r\n", 2, 400, false },
	{ "GET /healthz", "Transfer-Encoding : chunked\r\n", 0, 400, false },
	{ "GET /healthz", "Bad Name: x\r\n", 0, 400, false },
	{ "POST /api/v1/sandbox", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 2, 400,
	  false },
};

START_TEST(an_answer_arrives_after_the_body)
{
	int sock = connect_to();

	send_head(sock, requests[_i].line, requests[_i].headers);
	ck_assert_uint_eq(send_zeros(sock, requests[_i].body), requests[_i].body);
	ck_assert_int_eq(read_status(sock), requests[_i].status);
	if (requests[_i].kept) {
		send_head(sock, "GET /healthz", "");
		ck_assert_int_eq(read_status(sock), 200);
	} else {
		ck_assert_int_eq(read_status(sock), 0);
	}
	(void)close(sock);
}
END_TEST

START_TEST(a_chunked_body_is_dropped_to_its_end)
{
	int sock = connect_to();

	send_head(sock, "POST /api/v1/sandbox", "Transfer-Encoding: chunked\r\n");
	ck_assert_int_eq(write(sock, "800000\r\n", 8), 8);
	ck_assert_uint_eq(send_zeros(sock, 8 << 20), 8 << 20);
	ck_assert_int_eq(write(sock, "\r\n0\r\n\r\n", 7), 7);
	ck_assert_int_eq(read_status(sock), 413);
	(void)close(sock);
}
END_TEST

START_TEST(a_body_is_not_dropped_without_end)
{
	size_t most = (size_t)CX_LINGER_BYTES + (4 << 20); /* and what the socket holds */
	int sock = connect_to();

	send_head(sock, "POST /nowhere", "Content-Length: 10000000000\r\n");
	ck_assert_uint_lt(send_zeros(sock, most), most);
	ck_assert(errno == EPIPE || errno == ECONNRESET);
	(void)close(sock);
	sock = connect_to();
	send_head(sock, "POST /nowhere", "Transfer-Encoding: chunked\r\n");
	ck_assert_int_eq(write(sock, "fffffff\r\n", 9), 9);
	ck_assert_uint_lt(send_zeros(sock, most), most);
	(void)close(sock);
}
END_TEST

/* What a refused request carries is never taken for the next one. */
START_TEST(a_body_is_no_request)
{
	static const char inner[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char *const lines[] = { "POST /nowhere", "DELETE /nowhere", "GET /nowhere",
					     "PATCH /api/v1/sandbox" };
	char headers[64];
	int sock = connect_to();

	(void)snprintf(headers, sizeof headers, "Content-Length: %zu\r\n", sizeof inner - 1);
	send_head(sock, lines[_i], headers);
	ck_assert_int_eq(write(sock, inner, sizeof inner - 1), sizeof inner - 1);
	ck_assert_int_ge(read_status(sock), 404);
	ck_assert_int_eq(shutdown(sock, SHUT_WR), 0);
	ck_assert_int_eq(read_status(sock), 0);
	(void)close(sock);
}
END_TEST

START_TEST(who_may_not_is_told_so_after_the_body)
{
	int sock = connect_to();

	send_head(sock, "POST /api/v1/images?name=x", "Content-Length: 8388608\r\n");
	ck_assert_uint_eq(send_zeros(sock, 8 << 20), 8 << 20);
	ck_assert_int_eq(read_status(sock), 401);
	(void)close(sock);
}
END_TEST

static const struct {
	const char *bytes;
	int status;
	const char *code;
} no_requests[] = {
	{ "SSH-2.0-x\r\n", 400, "invalid" },
	{ "{}\r\n\r\n", 400, "invalid" },
	{ "GET\r\nHost: x\r\n\r\n", 400, "invalid" },
	{ " GET / HTTP/1.1\r\n\r\n", 400, "invalid" },
	{ "\x16\x03\x01\x02\n", 400, "invalid" },
	{ "GET /healthz FTP/1.1\r\n\r\n", 400, "invalid" },
	{ "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 505, "invalid" },
	{ "GET /he althz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid" },
	{ "GET /healthz HTTP/1.1\r\n\r\n", 400, "invalid" },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n", 400, "invalid" },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "invalid" },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	  "Content-Length: 99999999999999999999999\r\n\r\n",
	  413, "too_large" },
	{ "POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\n"
	  "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	  400, "invalid" },
	{ "POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
	  400, "invalid" },
	{ "POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\n"
	  "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n",
	  413, "too_large" },
};

/* All that comes until the server closes, as text. */
static size_t read_rest(int sock, char *ret, size_t max)
{
	size_t have = 0;
	ssize_t n = 0;

	while (have < max - 1 && (n = read(sock, ret + have, max - 1 - have)) > 0)
		have += (size_t)n;
	ck_assert_msg(n >= 0 || errno == ECONNRESET, "no end: %s", strerror(errno));
	ck_assert_uint_lt(have, max - 1);
	ret[have] = '\0';
	return have;
}

static void expect_refusal(const char *answer, int status, const char *code)
{
	char begin[32], word[64];

	(void)snprintf(begin, sizeof begin, "HTTP/1.1 %d ", status);
	(void)snprintf(word, sizeof word, "\"code\":\"%s\"", code);
	ck_assert_msg(strncmp(answer, begin, strlen(begin)) == 0, "%s", answer);
	ck_assert_msg(strstr(answer, "\r\nConnection: close\r\n") != NULL, "%s", answer);
	ck_assert_msg(strstr(answer, "\r\nContent-Type: application/json\r\n") != NULL, "%s",
		      answer);
	ck_assert_msg(strstr(answer, "\r\n\r\n{\"detail\":\"") != NULL, "%s", answer);
	ck_assert_msg(strstr(answer, word) != NULL, "%s", answer);
	ck_assert_msg(strstr(answer, "\nHTTP/1.1 ") == NULL, "%s", answer);
}

/* As the first on its connection, after another one, and without waiting for its answer. */
START_TEST(what_is_no_request_is_told_so)
{
	const char *bytes = no_requests[_i].bytes;
	char answer[4096], *second;
	int sock;

	for (int kept = 0; kept < 2; kept++) {
		sock = connect_to();
		if (kept) {
			send_head(sock, "GET /healthz", "");
			ck_assert_int_eq(read_status(sock), 200);
		}
		ck_assert_int_eq(write(sock, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
		(void)read_rest(sock, answer, sizeof answer);
		expect_refusal(answer, no_requests[_i].status, no_requests[_i].code);
		(void)close(sock);
	}
	sock = connect_to();
	(void)snprintf(answer, sizeof answer, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n%s", bytes);
	ck_assert_int_eq(write(sock, answer, strlen(answer)), (ssize_t)strlen(answer));
	(void)read_rest(sock, answer, sizeof answer);
	ck_assert_msg(strncmp(answer, "HTTP/1.1 200 ", 13) == 0, "%s", answer);
	second = strstr(answer + 1, "HTTP/1.1 ");
	ck_assert_msg(second != NULL, "%s", answer);
	expect_refusal(second, no_requests[_i].status, no_requests[_i].code);
	ck_assert_ptr_null(strcasestr(answer, "<html"));
	(void)close(sock);
}
END_TEST

static const struct {
	const char *begin;
	int status;
} endless[] = {
	{ "GET /", 414 },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ", 431 },
};

START_TEST(a_head_without_end_is_told_so)
{
	char zeros[300000], answer[4096];
	int sock = connect_to();

	memset(zeros, '0', sizeof zeros);
	ck_assert_int_gt(write(sock, endless[_i].begin, strlen(endless[_i].begin)), 0);
	(void)!write(sock, zeros, sizeof zeros);
	(void)read_rest(sock, answer, sizeof answer);
	expect_refusal(answer, endless[_i].status, "too_large");
	(void)close(sock);
}
END_TEST

/* Whoever goes, or closes its half, after an answer hears nothing more. */
START_TEST(who_has_asked_all_hears_no_refusal)
{
	static const char *const last[] = { "", "Connection: close\r\n" };
	char rest[256];

	for (size_t i = 0; i < CX_LEN(last); i++) {
		int sock = connect_to();

		send_head(sock, "GET /healthz", last[i]);
		ck_assert_int_eq(read_status(sock), 200);
		ck_assert_int_eq(shutdown(sock, SHUT_WR), 0);
		ck_assert_uint_eq(read_rest(sock, rest, sizeof rest), 0);
		(void)close(sock);
	}
}
END_TEST

/*
 * What a client sends before it closes its half, the end together with the last bytes or not: of
 * that all is answered, and then the connection ends.
 */
static const struct {
	const char *bytes;
	int answers, status; /* of the last one */
} halves[] = {
	/* Whoever only looks whether somebody listens has asked nothing wrong; one byte is wrong.
	 */
	{ "", 0, 0 },
	{ "x", 1, 400 },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\n", 1, 400 },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1, 200 },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 2,
	  200 },
	{ "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 1, 200 },
	{ "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}", 1, 400 },
	{ "POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 1,
	  400 },
};

/* The answers that come until the end; *ret_last is the status of the last one. */
static int count_answers(int sock, int *ret_last)
{
	char text[4096], *at = text;
	int n = 0;

	(void)read_rest(sock, text, sizeof text);
	for (; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++)
		if (at == text || at[-1] == '\n' || at[-1] == '}') {
			*ret_last = atoi(at + 9);
			n++;
		}
	return n;
}

START_TEST(a_half_closed_connection_gets_its_answers)
{
	const char *bytes = halves[_i].bytes;
	size_t len = strlen(bytes);

	/* With a pause, the server is waiting already; with MSG_MORE, TCP sends one segment. */
	for (int i = 0; i < 40; i++) {
		int sock = connect_to(), last = 0;

		if ((i & 1) != 0)
			(void)usleep(1000);
		ck_assert_int_eq(send(sock, bytes, len, (i & 2) != 0 ? MSG_MORE : 0), (ssize_t)len);
		ck_assert_int_eq(shutdown(sock, SHUT_WR), 0);
		ck_assert_int_eq(count_answers(sock, &last), halves[_i].answers);
		ck_assert_int_eq(last, halves[_i].status);
		(void)close(sock);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http");
	TCase *tc = tcase_create("trusted");
	TCase *stranger = tcase_create("untrusted");
	TCase *tcp = tcase_create("tcp");

	tcase_add_checked_fixture(tc, start_trusted, stop_server);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, an_answer_arrives_after_the_body, 0, CX_LEN(requests));
	tcase_add_test(tc, a_chunked_body_is_dropped_to_its_end);
	tcase_add_test(tc, a_body_is_not_dropped_without_end);
	tcase_add_loop_test(tc, a_body_is_no_request, 0, 4);
	tcase_add_loop_test(tc, what_is_no_request_is_told_so, 0, CX_LEN(no_requests));
	tcase_add_loop_test(tc, a_head_without_end_is_told_so, 0, CX_LEN(endless));
	tcase_add_test(tc, who_has_asked_all_hears_no_refusal);
	tcase_add_loop_test(tc, a_half_closed_connection_gets_its_answers, 1, CX_LEN(halves));
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(stranger, start_untrusted, stop_server);
	tcase_set_timeout(stranger, 30);
	tcase_add_test(stranger, who_may_not_is_told_so_after_the_body);
	tcase_add_loop_test(stranger, a_half_closed_connection_gets_its_answers, 1, CX_LEN(halves));
	suite_add_tcase(suite, stranger);
	tcase_add_checked_fixture(tcp, start_tcp, stop_server);
	tcase_set_timeout(tcp, 30);
	tcase_add_loop_test(tcp, a_half_closed_connection_gets_its_answers, 0, CX_LEN(halves));
	suite_add_tcase(suite, tcp);
	return run_suite(suite);
}
