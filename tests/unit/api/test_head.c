/* SPDX-License-Identifier: Apache-2.0 */
#include "api/head.h"

#include <string.h>

#include "check_main.h"

static struct cx_err err;
static struct cx_head head;

/* What becomes of a request; "" when it is refused. */
static const char *forward(const char *text)
{
	static struct cx_buf out;

	cx_buf_free(&out);
	out.max = 4 * CX_HEAD_MAX;
	if (cx_head_parse_request(text, strlen(text), &head, &err) < 0)
		return "";
	ck_assert_int_eq(cx_head_write_request(&head, "192.0.2.1", "http", &out, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	return out.p;
}

static const char *back(const char *text)
{
	static struct cx_buf out;

	cx_buf_free(&out);
	out.max = 4 * CX_HEAD_MAX;
	if (cx_head_parse_answer(text, strlen(text), false, &head, &err) < 0)
		return "";
	ck_assert_int_eq(cx_head_write_answer(&head, &out, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	return out.p;
}

#define OURS(host)                                                  \
	"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n" \
	"X-Forwarded-Host: " host "\r\n"
#define CLOSE "Connection: close\r\n\r\n"

static const struct {
	const char *in, *out;
} requests[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n" OURS("a") CLOSE },
	{ "GET /?q HTTP/1.0\r\n\r\n", "GET /?q HTTP/1.0\r\nX-Forwarded-For: 192.0.2.1\r\n"
				      "X-Forwarded-Proto: http\r\n" CLOSE },
	/* what concerns one connection, also what it names so, stays behind */
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-One\r\nKeep-Alive: 5\r\n"
	  "x-one: 1\r\nX-Two: 2\r\nTE: trailers\r\nProxy-Authorization: x\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nX-Two: 2\r\n" OURS("a") CLOSE },
	/* but not what says for whom it is and where it ends */
	{ "PUT / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length\r\nContent-Length: "
	  "5\r\n\r\n",
	  "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" OURS("a") CLOSE },
	/* what a client says of where it comes from is not believed, however it is spelt */
	{ "GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nx_forwarded_for: 2\r\nHost: a\r\n"
	  "Forwarded: for=x\r\nX-Real-IP: 3\r\nX-Forwarded-Port: 1\r\nX-Forward: 4\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nX-Forward: 4\r\n" OURS("a") CLOSE },
	{ "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" OURS("a") CLOSE },
	{ "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, "
	  "Upgrade\r\n\r\n",
	  "GET /ws HTTP/1.1\r\nHost: a\r\n" OURS("a") "Connection: Upgrade\r\n"
						      "Upgrade: websocket\r\n\r\n" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
	  "HTTP2-Settings: x\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\n" OURS("a") CLOSE },
	{ "GET / HTTP/1.1\r\nHost:   a\t \r\nEmpty:\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nEmpty: \r\n" OURS("a") CLOSE },
	/* refused */
	{ "GET / HTTP/1.1\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "" },
	{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "" },
	{ "GET / HTTP/0.9\r\n\r\n", "" },
	{ "GET /\r\n\r\n", "" },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "" },
	{ "NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	  "Transfer-Encoding: identity\r\n\r\n",
	  "" },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: b\x01\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\n\nGET /x HTTP/1.1\r\nHost: b\r\n\r\n", "" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: "
	  "1\r\n\r\n",
	  "" },
	{ "HTTP/1.1 200 OK\r\n\r\n", "" },
};

START_TEST(a_request_goes_on_as_it_should)
{
	const char *out = forward(requests[_i].in);

	ck_assert_msg(strcmp(out, requests[_i].out) == 0, "%s\nbecame\n%s", requests[_i].in, out);
	/* What we write, we understand in the same way. */
	if (out[0] != '\0')
		ck_assert_int_eq(cx_head_parse_request(out, strlen(out), &head, &err), 0);
}
END_TEST

static const struct {
	const char *in, *out;
	enum cx_framing_kind kind;
} answers[] = {
	{ "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\n" CLOSE,
	  CX_FRAMED_TO_END },
	{ "HTTP/1.1 200 \r\nContent-Length: 7\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n\r\n",
	  "HTTP/1.1 200 \r\nContent-Length: 7\r\n" CLOSE, CX_FRAMED_LENGTH },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: x\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: x\r\n" CLOSE,
	  CX_FRAMED_CHUNKS },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	  "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n" CLOSE, CX_FRAMED_EMPTY },
	{ "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", CX_FRAMED_EMPTY },
	{ "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nA: b\r\n\r\n",
	  "HTTP/1.1 101 Switching\r\nA: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	  CX_FRAMED_EMPTY },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", "", 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n", "", 0 },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", 0 },
	{ "HTTP/1.1 20 OK\r\n\r\n", "", 0 },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "", 0 },
	{ "200 OK\r\n\r\n", "", 0 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", 0 },
};

START_TEST(an_answer_comes_back_as_it_should)
{
	const char *out = back(answers[_i].in);

	ck_assert_msg(strcmp(out, answers[_i].out) == 0, "%s\nbecame\n%s", answers[_i].in, out);
	if (out[0] != '\0')
		ck_assert_int_eq((int)head.framing.kind, (int)answers[_i].kind);
}
END_TEST

START_TEST(fields_are_bounded)
{
	static char text[CX_HEAD_MAX] = "GET / HTTP/1.1\r\nHost: a\r\n";

	for (int i = 1; i < CX_HEAD_FIELDS_MAX; i++)
		strcat(text, "A: b\r\n");
	strcat(text, "\r\n");
	ck_assert_int_eq(cx_head_parse_request(text, strlen(text), &head, &err), 0);
	text[strlen(text) - 2] = '\0';
	strcat(text, "A: b\r\n\r\n");
	ck_assert_int_lt(cx_head_parse_request(text, strlen(text), &head, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
}
END_TEST

START_TEST(the_end_of_a_head_is_found)
{
	ck_assert_uint_eq(cx_head_end("a\r\n\r\nb", 6), 5);
	ck_assert_uint_eq(cx_head_end("a\r\n\r", 4), 0);
	ck_assert_uint_eq(cx_head_end("a\n\nb", 4), 0);
	ck_assert_uint_eq(cx_head_end(NULL, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/head");
	TCase *tc = tcase_create("head");

	tcase_add_loop_test(tc, a_request_goes_on_as_it_should, 0, CX_LEN(requests));
	tcase_add_loop_test(tc, an_answer_comes_back_as_it_should, 0, CX_LEN(answers));
	tcase_add_test(tc, fields_are_bounded);
	tcase_add_test(tc, the_end_of_a_head_is_found);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
