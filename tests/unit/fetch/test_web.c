/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/web.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "check_main.h"
#include "fetch/serve_once.h"

static struct cx_web *web;
static struct cx_web_call call;
static struct cx_buf ca, body;
static struct cx_err err;
static int done;

static void setup(void)
{
	ck_assert_int_eq(cx_web_prepare(&err), 0);
	ck_assert_int_eq(cx_web_open(&web, &err), 0);
	body.max = 1 << 20;
}

static void teardown(void)
{
	cx_web_stop(&call);
	cx_web_close(web);
	cx_buf_free(&body);
}

static bool keep(struct cx_web_call *c, const void *data, size_t len)
{
	(void)c;
	return len <= 100000 && cx_buf_add(&body, data, len, &err) == 0;
}

static bool stop(struct cx_web_call *c, const void *data, size_t len)
{
	(void)c;
	(void)data;
	(void)len;
	return false;
}

static void finished(struct cx_web_call *c)
{
	ck_assert_ptr_eq(c, &call);
	done++;
}

static void exchange(struct cx_web_plan plan)
{
	plan.plain = true;
	plan.ca = &ca;
	plan.total_s = 10;
	plan.stall_s = plan.stall_s > 0 ? plan.stall_s : 10;
	plan.done = finished;
	ck_assert_int_eq(cx_web_start(web, &call, &plan, &err), 0);
	while (done == 0) {
		ck_assert_int_ge(cx_web_turn(web, &err), 0);
		ck_assert_int_eq(cx_web_wait(web, NULL, 0, 100, &err), 0);
	}
	ck_assert_int_eq(done, 1);
}

static const char *local(const char *bytes)
{
	static char url[64];

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", serve(bytes, strlen(bytes), 1));
	return url;
}

START_TEST(an_answer)
{
	exchange((struct cx_web_plan){
		.url = local("HTTP/1.1 100 Continue\r\nLocation: /not-this\r\n\r\n"
			     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-TYPE:  a/b \r\n"
			     "WWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer realm=x\r\n"
			     "Docker-Content-Digest: first\r\nDocker-Content-Digest: last\r\n"
			     "\r\nbody"),
		.sink = keep });
	ck_assert_int_eq(call.answer.end, CX_WEB_ANSWERED);
	ck_assert_uint_eq(call.answer.status, 200);
	ck_assert_str_eq(call.answer.content_type, "a/b");
	ck_assert_str_eq(call.answer.challenge, "Basic, Bearer realm=x");
	ck_assert_str_eq(call.answer.digest, "last");
	ck_assert_str_eq(call.answer.location, "");
	ck_assert(call.answer.has_length);
	ck_assert_uint_eq(call.answer.length, 4);
	ck_assert_uint_eq(body.len, 4);
	ck_assert_uint_eq(call.answer.words_len, 0);
}
END_TEST

START_TEST(a_redirect_is_not_followed)
{
	exchange((struct cx_web_plan){
		.url = local("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
			     "Content-Length: 5\r\n\r\nthere"),
		.sink = keep });
	ck_assert_uint_eq(call.answer.status, 302);
	ck_assert_str_eq(call.answer.location, "http://127.0.0.1:1/");
	ck_assert_uint_eq(body.len, 0); /* only what was asked for goes into the sink */
	ck_assert_uint_eq(call.answer.words_len, 5);
}
END_TEST

static const struct {
	const char *bytes;
	enum cx_web_end end;
} broken[] = {
	{ "", CX_WEB_CUT },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", CX_WEB_CUT },
	{ "220 mail\r\n", CX_WEB_NONSENSE },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", CX_WEB_CUT },
};

START_TEST(no_answer)
{
	exchange((struct cx_web_plan){ .url = local(broken[_i].bytes), .sink = keep });
	ck_assert_int_eq(call.answer.end, broken[_i].end);
}
END_TEST

START_TEST(nobody_there)
{
	exchange((struct cx_web_plan){ .url = "http://127.0.0.1:1/" });
	ck_assert_int_eq(call.answer.end, CX_WEB_REFUSED);
	ck_assert_int_eq(call.answer.errnum, ECONNREFUSED);
}
END_TEST

/* Connected, by the kernel, and then not a word. */
START_TEST(nobody_speaks)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof at;
	char url[64];

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
	exchange((struct cx_web_plan){ .url = url, .stall_s = 1 });
	ck_assert_int_eq(call.answer.end, CX_WEB_SILENT);
	close(listener);
}
END_TEST

START_TEST(no_such_url)
{
	static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "http://" };

	exchange((struct cx_web_plan){ .url = urls[_i] });
	ck_assert_int_eq(call.answer.end, CX_WEB_BAD_URL);
}
END_TEST

START_TEST(the_sink_stops_it)
{
	exchange((struct cx_web_plan){
		.url = local("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"), .sink = stop });
	ck_assert_int_eq(call.answer.end, CX_WEB_STOPPED);
}
END_TEST

START_TEST(too_many_headers)
{
	static char bytes[CX_WEB_HEADERS_MAX + 200] = "HTTP/1.1 200 OK\r\n";
	size_t at = strlen(bytes);

	while (at < CX_WEB_HEADERS_MAX)
		at += (size_t)sprintf(bytes + at, "X-Header-of-some-length: %zu\r\n", at);
	(void)strcpy(bytes + at, "\r\n");
	exchange((struct cx_web_plan){ .url = local(bytes) });
	ck_assert_int_eq(call.answer.end, CX_WEB_NONSENSE);
}
END_TEST

START_TEST(a_header_that_is_too_long_is_none)
{
	static char bytes[CX_WEB_HEADER_MAX + 200] =
		"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic x=";
	size_t at = strlen(bytes);

	memset(bytes + at, 'y', CX_WEB_HEADER_MAX);
	(void)strcpy(bytes + at + CX_WEB_HEADER_MAX, "\r\nContent-Length: 0\r\n\r\n");
	exchange((struct cx_web_plan){ .url = local(bytes) });
	ck_assert_uint_eq(call.answer.status, 401);
	ck_assert_str_eq(call.answer.challenge, "");
}
END_TEST

START_TEST(a_file_goes_up)
{
	int fd = memfd_create("up", MFD_CLOEXEC);

	ck_assert_int_eq(cx_write_all(fd, "12345", 5, &err), 0);
	exchange((struct cx_web_plan){
		.method = CX_WEB_PUT,
		.url = local("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
		.file = fd,
		.file_bytes = 5 });
	ck_assert_uint_eq(call.answer.status, 201);
	ck_assert_uint_eq(call.sent, 5);
	close(fd);
}
END_TEST

START_TEST(a_file_that_is_too_short)
{
	int fd = memfd_create("up", MFD_CLOEXEC);

	exchange((struct cx_web_plan){
		.method = CX_WEB_PUT,
		.url = local("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
		.file = fd,
		.file_bytes = 5 });
	ck_assert_int_eq(call.answer.end, CX_WEB_LOCAL);
	close(fd);
}
END_TEST

START_TEST(stopped_from_outside)
{
	struct cx_web_plan plan = {
		.url = local("HTTP/1.1 200 OK\r\n\r\n"), .plain = true, .ca = &ca, .done = finished
	};

	ck_assert_int_eq(cx_web_start(web, &call, &plan, &err), 0);
	cx_web_stop(&call);
	cx_web_stop(&call);
	ck_assert_int_eq(cx_web_turn(web, &err), 0);
	ck_assert_int_eq(done, 0);
}
END_TEST

/* ---- URLs ------------------------------------------------------------------------------------ */

static const struct {
	const char *url, *host, *port;
	bool tls;
	const char *name;
} origins[] = {
	{ "http://a", "a", "80", false, "a" },
	{ "https://A.b/c?d", "a.b", "443", true, "a.b" },
	{ "https://a:80/", "a", "80", true, "a:80" },
	{ "https://a:5000/", "a", "5000", true, "a:5000" },
	{ "HTTP://[::1]:81/x", "[::1]", "81", false, "[::1]:81" },
	{ "http://a@b/", NULL, NULL, false, NULL },
	{ "http://a:b@c/", NULL, NULL, false, NULL },
	{ "ftp://a/", NULL, NULL, false, NULL },
	{ "file:///a", NULL, NULL, false, NULL },
	{ "a/b", NULL, NULL, false, NULL },
	{ "//a/b", NULL, NULL, false, NULL },
	{ "", NULL, NULL, false, NULL },
};

START_TEST(origin)
{
	char name[CX_ORIGIN_NAME_SIZE];
	struct cx_origin o;
	int r = cx_origin_of(origins[_i].url, &o, &err);

	ck_assert_msg((r == 0) == (origins[_i].host != NULL), "%s", origins[_i].url);
	if (r < 0)
		return;
	ck_assert_str_eq(o.host, origins[_i].host);
	ck_assert_str_eq(o.port, origins[_i].port);
	ck_assert_int_eq(o.tls, origins[_i].tls);
	cx_origin_name(&o, name);
	ck_assert_str_eq(name, origins[_i].name);
}
END_TEST

START_TEST(same_origin)
{
	static const char *const urls[] = { "https://a/", "http://a/", "https://b/",
					    "https://a:444/" };
	struct cx_origin first, other;

	ck_assert_int_eq(cx_origin_of(urls[0], &first, &err), 0);
	for (size_t i = 0; i < CX_LEN(urls); i++) {
		ck_assert_int_eq(cx_origin_of(urls[i], &other, &err), 0);
		ck_assert_int_eq(cx_origin_same(&first, &other), i == 0);
	}
}
END_TEST

static const struct {
	const char *base, *location, *joined;
} joins[] = {
	{ "http://a/v2/x", "/y?z=1", "http://a/y?z=1" },
	{ "http://a/v2/x", "y", "http://a/v2/y" },
	{ "http://a/v2/x", "https://b/c", "https://b/c" },
	{ "http://a/v2/x", "//b/c", "http://b/c" },
	{ "http://a/v2/x", "", NULL },
};

START_TEST(join)
{
	char url[CX_WEB_URL_MAX];
	int r = cx_url_join(joins[_i].base, joins[_i].location, url, &err);

	ck_assert_int_eq(r == 0, joins[_i].joined != NULL);
	if (r == 0)
		ck_assert_str_eq(url, joins[_i].joined);
}
END_TEST

START_TEST(query)
{
	struct cx_buf form = { .max = CX_WEB_URL_MAX };
	char url[CX_WEB_URL_MAX] = "http://a/b";

	ck_assert_int_eq(cx_url_query(url, &form, &err), 0);
	ck_assert_str_eq(url, "http://a/b");
	ck_assert_int_eq(cx_form_add(&form, "a", "b c&d", &err), 0);
	ck_assert_int_eq(cx_form_add(&form, "e", "f", &err), 0);
	ck_assert_int_eq(cx_url_query(url, &form, &err), 0);
	ck_assert_str_eq(url, "http://a/b?a=b%20c%26d&e=f");
	ck_assert_int_eq(cx_url_query(url, &form, &err), 0);
	ck_assert_str_eq(url, "http://a/b?a=b%20c%26d&e=f&a=b%20c%26d&e=f");
	while (cx_form_add(&form, "long", "longer", &err) == 0)
		;
	ck_assert_int_lt(cx_url_query(url, &form, &err), 0);
	cx_buf_free(&form);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/web");
	TCase *t = tcase_create("web"), *urls = tcase_create("urls");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_answer);
	tcase_add_test(t, a_redirect_is_not_followed);
	tcase_add_loop_test(t, no_answer, 0, (int)CX_LEN(broken));
	tcase_add_test(t, nobody_there);
	tcase_add_test(t, nobody_speaks);
	tcase_add_loop_test(t, no_such_url, 0, 3);
	tcase_add_test(t, the_sink_stops_it);
	tcase_add_test(t, too_many_headers);
	tcase_add_test(t, a_header_that_is_too_long_is_none);
	tcase_add_test(t, a_file_goes_up);
	tcase_add_test(t, a_file_that_is_too_short);
	tcase_add_test(t, stopped_from_outside);
	tcase_add_loop_test(urls, origin, 0, (int)CX_LEN(origins));
	tcase_add_test(urls, same_origin);
	tcase_add_loop_test(urls, join, 0, (int)CX_LEN(joins));
	tcase_add_test(urls, query);
	suite_add_tcase(s, t);
	suite_add_tcase(s, urls);
	return run_suite(s);
}
