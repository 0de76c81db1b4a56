/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that come bit by bit, over a real socket from a server whose paths are those below. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check_main.h"

#include "api/flow.h"
#include "base/fd.h"

enum { LINE = 1024, TICKS = 3, TICK_MS = 50, PIPED = 8 << 20 };

static pid_t server;
static struct sockaddr_un address;
static int told[2]; /* a byte from the server for each client that was seen to go */

/* ---- the server: what its handlers do ------------------------------------------------------- */

static struct ticking {
	struct cx_timer timer;
	struct cx_loop *loop;
	struct cx_flow *flow;
	unsigned n;
} ticking;

static void was_gone(void *arg)
{
	struct cx_flow **flow = arg;

	(void)!write(told[1], "g", 1);
	cx_timer_clear(&ticking.timer);
	cx_flow_line(*flow, "{}", 2, false); /* no harm */
	cx_flow_cut(*flow);
}

static void begin_lines(struct cx_request *req)
{
	struct cx_err err;

	if (cx_flow_lines(req, was_gone, &ticking.flow, &ticking.flow, &err) < 0)
		_exit(1);
}

static void many_lines(struct cx_request *req, bool passing)
{
	char line[LINE];

	memset(line, passing ? 'p' : 'n', sizeof line);
	begin_lines(req);
	for (unsigned i = 0; i < 16 * 1024; i++)
		cx_flow_line(ticking.flow, line, sizeof line - 1, passing);
	if (!passing)
		cx_flow_line(ticking.flow, "passing", 7, true);
	memset(line, 'L', sizeof line);
	cx_flow_last(ticking.flow, line, sizeof line - 1);
}

static void handle_passing(struct cx_request *req)
{
	many_lines(req, true);
}

static void handle_lines(struct cx_request *req)
{
	many_lines(req, false);
}

static void tick(struct cx_timer *timer)
{
	struct ticking *t = cx_container_of(timer, struct ticking, timer);

	if (++t->n < TICKS) {
		cx_flow_line(t->flow, "tick", 4, false);
		cx_timer_set(t->loop, timer, TICK_MS);
		return;
	}
	cx_flow_last(t->flow, "last", 4);
}

static void handle_ticks(struct cx_request *req)
{
	begin_lines(req);
	ticking.n = 0;
	ticking.loop = cx_request_loop(req);
	ticking.timer.fire = tick;
	cx_timer_set(ticking.loop, &ticking.timer, TICK_MS);
}

static void handle_silence(struct cx_request *req)
{
	begin_lines(req);
}

static void handle_failure(struct cx_request *req)
{
	struct cx_err err;

	begin_lines(req);
	(void)cx_refuse(&err, CX_LIMIT, "the disk is full");
	cx_flow_fail(ticking.flow, &err);
}

/* Somebody writes n zeros into the pipe and ends. */
static void begin_pipe(struct cx_request *req, size_t n)
{
	static const char zeros[65536];
	struct cx_err err;
	int out, in;

	if (cx_pipe(&out, &in, &err) < 0)
		_exit(1);
	if (cx_flow_pipe(req, "application/x-tar", &out, was_gone, &ticking.flow, &ticking.flow,
			 &err) < 0) {
		cx_request_fail(req, &err);
		n = 0;
	}
	if (n > 0 && fork() == 0) {
		(void)signal(SIGPIPE, SIG_DFL);
		cx_close(&out);
		for (size_t sent = 0; sent < n; sent += sizeof zeros)
			if (write(in, zeros, sizeof zeros) < 0)
				_exit(1);
		_exit(0);
	}
	cx_close(&in);
	cx_close(&out);
}

static void handle_pipe_early(struct cx_request *req)
{
	begin_pipe(req, PIPED);
	if (cx_request_sees_cut(req))
		cx_flow_end(ticking.flow);
}

static void end_late(struct cx_timer *timer)
{
	cx_flow_end(cx_container_of(timer, struct ticking, timer)->flow);
}

static void cut_late(struct cx_timer *timer)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_INTERNAL, "the worker failed");
	cx_flow_fail(cx_container_of(timer, struct ticking, timer)->flow, &err);
}

static void pipe_then(struct cx_request *req, size_t n, void (*then)(struct cx_timer *timer))
{
	begin_pipe(req, n);
	ticking.timer.fire = then;
	cx_timer_set(cx_request_loop(req), &ticking.timer, 300);
}

static void handle_pipe_late(struct cx_request *req)
{
	pipe_then(req, 65536, end_late);
}

static void handle_pipe_cut(struct cx_request *req)
{
	pipe_then(req, 65536, cut_late);
}

static void handle_pipe_open(struct cx_request *req)
{
	begin_pipe(req, (size_t)1 << 40);
}

static void handle_plain(struct cx_request *req)
{
	struct cx_buf json = { .max = 16 };
	struct cx_err err;

	if (cx_buf_add(&json, "{}", 2, &err) < 0)
		_exit(1);
	cx_request_answer(req, 200, &json);
}

static const struct cx_route pages[] = {
	{ "GET", "/passing", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_passing, "" },
	{ "GET", "/lines", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_lines, "" },
	{ "GET", "/ticks", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_ticks, "" },
	{ "GET", "/silence", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_silence, "" },
	{ "GET", "/failure", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_failure, "" },
	{ "GET", "/pipe/early", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_pipe_early, "" },
	{ "GET", "/pipe/late", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_pipe_late, "" },
	{ "GET", "/pipe/cut", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_pipe_cut, "" },
	{ "GET", "/pipe/open", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_pipe_open, "" },
	{ "GET", "/plain", CX_SCOPE_PUBLIC, CX_BODY_NONE, handle_plain, "" },
};

/* In place of the table of api/routes.c, which is not linked. */
const struct cx_route *cx_route_find(const char *method, const char *path,
				     char param[CX_PARAM_MAX + 1], unsigned *ret_status,
				     char allow[64])
{
	param[0] = allow[0] = '\0';
	for (size_t i = 0; i < CX_LEN(pages); i++)
		if (strcmp(pages[i].method, method) == 0 && strcmp(pages[i].path, path) == 0)
			return &pages[i];
	*ret_status = 404;
	return NULL;
}

static _Noreturn void serve(int sock)
{
	static const struct cx_auth nobody;
	struct cx_loop loop;
	struct cx_err err;
	struct cx_http *http;
	struct cx_http_options options = { .loop = &loop,
					   .auth = &nobody,
					   .spool_dir = AT_FDCWD,
					   .connections_max = 8,
					   .strangers_max = 8 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	if (cx_loop_open(&loop, &err) == 0 && cx_http_open(&options, &http, &err) == 0 &&
	    cx_http_listen(http, &sock, true, &err) == 0)
		(void)!cx_loop_run(&loop, &err);
	_exit(1);
}

static void start_server(void)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sun_family = AF_UNIX; /* a name in the abstract, so there is nothing to remove */
	(void)snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "test-flow-%d", getpid());
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(sock, 8), 0);
	ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
	server = fork();
	if (server == 0)
		serve(sock);
	ck_assert_int_gt(server, 0);
	(void)close(sock);
	(void)close(told[1]);
}

static void stop_server(void)
{
	int status;

	ck_assert_int_eq(waitpid(server, &status, WNOHANG), 0); /* it lives */
	(void)kill(server, SIGKILL);
	ck_assert_int_eq(waitpid(server, NULL, 0), server);
	(void)close(told[0]);
}

/* ---- the client ----------------------------------------------------------------------------- */

struct answer {
	int status;
	bool chunked, whole;
	char *text;
	size_t len;
};

static int ask(const char *path, const char *version)
{
	struct timeval patience = { .tv_sec = 10 };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(sock, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	(void)dprintf(sock, "GET %s HTTP/%s\r\nHost: x\r\nX-Request-Id: r1\r\n\r\n", path, version);
	return sock;
}

static bool read_byte(FILE *from, char *ret)
{
	int c = fgetc(from);

	*ret = (char)c;
	return c != EOF;
}

static bool read_line(FILE *from, char *line, size_t size)
{
	return fgets(line, (int)size, from) != NULL && strchr(line, '\n') != NULL;
}

static void add(struct answer *a, const char *p, size_t n)
{
	a->text = realloc(a->text, a->len + n + 1);
	memcpy(a->text + a->len, p, n);
	a->len += n;
	a->text[a->len] = '\0';
}

/* True when another chunk followed. */
static bool read_chunk(FILE *from, struct answer *a)
{
	static char bytes[1 << 20];
	char line[64];
	size_t n, got;

	if (!read_line(from, line, sizeof line))
		return false;
	n = strtoul(line, NULL, 16);
	ck_assert_uint_le(n, sizeof bytes);
	got = fread(bytes, 1, n, from);
	add(a, bytes, got);
	if (got < n || !read_line(from, line, sizeof line))
		return false;
	a->whole = n == 0;
	return n > 0;
}

static void read_head(FILE *from, struct answer *a, size_t *ret_length)
{
	char line[256];

	ck_assert(read_line(from, line, sizeof line));
	a->status = atoi(line + 9);
	while (read_line(from, line, sizeof line) && strcmp(line, "\r\n") != 0) {
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			*ret_length = strtoul(line + 15, NULL, 10);
		a->chunked = a->chunked || strcasecmp(line, "Transfer-Encoding: chunked\r\n") == 0;
	}
}

static struct answer read_answer(FILE *from)
{
	struct answer a = { 0 };
	size_t length = SIZE_MAX;
	char byte;

	read_head(from, &a, &length);
	add(&a, "", 0);
	if (a.chunked) {
		while (read_chunk(from, &a))
			;
		return a;
	}
	while (a.len < length && read_byte(from, &byte))
		add(&a, &byte, 1);
	a.whole = a.len == length;
	return a;
}

static struct answer get(const char *path, const char *version)
{
	FILE *from = fdopen(ask(path, version), "r");
	struct answer a = read_answer(from);

	(void)fclose(from);
	return a;
}

static void expect_gone(void)
{
	char byte;

	ck_assert_int_eq(read(told[0], &byte, 1), 1); /* the test's time limit is the patience */
}

/* ---- tests ---------------------------------------------------------------------------------- */

START_TEST(lines_come_when_they_are_made)
{
	FILE *from = fdopen(ask("/ticks", "1.1"), "r");
	struct answer a = { 0 };
	size_t length;
	uint64_t begun = cx_now_ms();

	read_head(from, &a, &length);
	ck_assert_int_eq(a.status, 200);
	ck_assert(read_chunk(from, &a));
	ck_assert_str_eq(a.text, "tick\n");
	ck_assert_uint_lt(cx_now_ms() - begun, (TICKS - 1) * TICK_MS + 30);
	while (read_chunk(from, &a))
		;
	ck_assert(a.whole);
	ck_assert_str_eq(a.text, "tick\ntick\nlast\n");
	free(a.text);
	(void)fclose(from);
}
END_TEST

static const struct {
	const char *path;
	char line;
	size_t most;
} crowds[] = {
	{ "/passing", 'p', CX_FLOW_PASSING_MAX },
	{ "/lines", 'n', CX_FLOW_QUEUE_MAX },
};

/* All is made before anything is sent, as if the client had not read yet. */
START_TEST(a_slow_reader_gets_some_lines_and_the_last)
{
	struct answer a = get(crowds[_i].path, "1.1");
	size_t lines = crowds[_i].most / LINE;

	ck_assert(a.whole);
	ck_assert_uint_eq(a.len, (lines + 1) * LINE);
	for (size_t i = 0; i < lines; i++)
		ck_assert_int_eq(a.text[i * LINE], crowds[_i].line);
	ck_assert_int_eq(a.text[lines * LINE], 'L');
	ck_assert_int_eq(a.text[a.len - 1], '\n');
	free(a.text);
}
END_TEST

START_TEST(a_failure_is_the_last_line)
{
	struct answer a = get("/failure", "1.1");

	ck_assert(a.whole);
	ck_assert_str_eq(a.text, "{\"status\":\"error\",\"detail\":\"the disk is full\","
				 "\"code\":\"limit\",\"request_id\":\"r1\"}\n");
	free(a.text);
}
END_TEST

START_TEST(the_connection_goes_on_after_a_stream)
{
	static const struct {
		const char *path;
		size_t len;
	} asked[] = {
		{ "/ticks", 15 }, { "/plain", 2 }, { "/pipe/early", PIPED }, { "/plain", 2 }
	};
	int sock = ask(asked[0].path, "1.1");
	FILE *from = fdopen(sock, "r");

	for (size_t i = 0; i < CX_LEN(asked); i++) {
		struct answer a = read_answer(from);

		ck_assert(a.whole);
		ck_assert_uint_eq(a.len, asked[i].len);
		free(a.text);
		if (i + 1 < CX_LEN(asked))
			(void)dprintf(sock, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
				      asked[i + 1].path);
	}
	(void)fclose(from);
}
END_TEST

START_TEST(an_old_client_reads_lines_to_the_end)
{
	struct answer a = get("/ticks", "1.0");

	ck_assert_int_eq(a.status, 200);
	ck_assert(!a.chunked);
	ck_assert_str_eq(a.text, "tick\ntick\nlast\n");
	free(a.text);
	a = get("/pipe/early", "1.0");
	ck_assert_int_eq(a.status, 400);
	free(a.text);
}
END_TEST

START_TEST(a_client_that_leaves_is_told_of)
{
	static const char *const paths[] = { "/silence", "/pipe/open", "/ticks" };
	int sock = ask(paths[_i], "1.1");
	char head[17];

	ck_assert_int_eq(recv(sock, head, sizeof head, MSG_WAITALL), sizeof head);
	(void)close(sock);
	expect_gone();
	free(get("/plain", "1.1").text);
}
END_TEST

/* Its bytes wait in the pipe, and who writes them has to wait. */
START_TEST(a_pipe_waits_for_a_slow_reader)
{
	int sock = ask("/pipe/early", "1.1");
	FILE *from;
	struct answer a;

	(void)usleep(300 * 1000);
	from = fdopen(sock, "r");
	a = read_answer(from);
	ck_assert(a.whole);
	ck_assert_uint_eq(a.len, PIPED);
	free(a.text);
	(void)fclose(from);
}
END_TEST

START_TEST(a_pipe_ends_as_its_owner_says)
{
	struct answer a = get("/pipe/late", "1.1");

	ck_assert(a.whole);
	ck_assert_uint_eq(a.len, 65536);
	free(a.text);
	a = get("/pipe/cut", "1.1");
	ck_assert_int_eq(a.status, 200);
	ck_assert(!a.whole);
	ck_assert_uint_eq(a.len, 65536);
	free(a.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow");
	TCase *tc = tcase_create("flow");

	tcase_add_checked_fixture(tc, start_server, stop_server);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, lines_come_when_they_are_made);
	tcase_add_loop_test(tc, a_slow_reader_gets_some_lines_and_the_last, 0, CX_LEN(crowds));
	tcase_add_test(tc, a_failure_is_the_last_line);
	tcase_add_test(tc, the_connection_goes_on_after_a_stream);
	tcase_add_test(tc, an_old_client_reads_lines_to_the_end);
	tcase_add_loop_test(tc, a_client_that_leaves_is_told_of, 0, 3);
	tcase_add_test(tc, a_pipe_waits_for_a_slow_reader);
	tcase_add_test(tc, a_pipe_ends_as_its_owner_says);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
