/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/access.h"

#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "fetch/serve_once.h"

static struct cx_web *web;
static struct cx_endpoint *e;
static struct cx_buf ca;
static struct cx_fault fault;
static struct cx_err err;
static char sent[CX_AUTHORIZATION_SIZE];

static void setup(void)
{
	ck_assert_int_eq(cx_web_prepare(&err), 0);
	ck_assert_int_eq(cx_web_open(&web, &err), 0);
	e = cx_endpoint_new(web, &ca);
	ck_assert_ptr_nonnull(e);
	(void)strcpy(e->host, "127.0.0.1:5000");
	e->plain = true;
}

static void teardown(void)
{
	cx_endpoint_free(e);
	cx_web_close(web);
}

static void set_password(void)
{
	e->user = strdup("user");
	e->password = strdup("pass:word");
}

static enum cx_access header(const char *scope)
{
	return cx_access_header(e, scope, sent, &fault);
}

/* Waits for a token, or for its refusal. */
static enum cx_access settled(const char *scope)
{
	enum cx_access access;

	while ((access = header(scope)) == CX_ACCESS_WAIT) {
		ck_assert_int_ge(cx_web_turn(web, &err), 0);
		ck_assert_int_eq(cx_web_wait(web, NULL, 0, 100, &err), 0);
	}
	return access;
}

START_TEST(nothing_is_sent_unasked)
{
	set_password();
	ck_assert_int_eq(header("repository:a:pull"), CX_ACCESS_GRANTED);
	ck_assert_str_eq(sent, "");
	ck_assert_int_eq(cx_access_sent(e, sent), CX_SENT_NOTHING);
}
END_TEST

START_TEST(a_password_once)
{
	set_password();
	ck_assert(cx_access_challenged(e, "", "Basic realm=x", "", &fault));
	ck_assert_int_eq(header(""), CX_ACCESS_GRANTED);
	ck_assert_str_eq(sent, "Basic dXNlcjpwYXNzOndvcmQ=");
	ck_assert_int_eq(cx_access_sent(e, sent), CX_SENT_PASSWORD);
	ck_assert(!cx_access_challenged(e, "", "Basic realm=x", sent, &fault));
	ck_assert_int_eq(fault.err.errnum, 0); /* the 401 speaks for itself */
}
END_TEST

START_TEST(no_password_to_give)
{
	ck_assert(!cx_access_challenged(e, "", "Basic realm=x", "", &fault));
	ck_assert_int_eq(header(""), CX_ACCESS_GRANTED);
	ck_assert_str_eq(sent, "");
}
END_TEST

START_TEST(a_token_of_the_registry)
{
	e->registry_token = strdup("tok");
	ck_assert_int_eq(header("x"), CX_ACCESS_GRANTED);
	ck_assert_str_eq(sent, "Bearer tok");
	ck_assert_int_eq(cx_access_sent(e, sent), CX_SENT_TOKEN);
	ck_assert(
		!cx_access_challenged(e, "x", "Bearer realm=\"http://127.0.0.1/\"", sent, &fault));
}
END_TEST

static const struct {
	bool plain, secret;
	const char *realm;
	bool fine;
	enum cx_fetch_reason reason;
} realms[] = {
	{ true, true, "http://127.0.0.1:1/t", true, CX_FETCH_OTHER },
	{ true, true, "https://elsewhere/t", true, CX_FETCH_OTHER },
	{ true, true, "http://elsewhere/t", false, CX_FETCH_NOT_TLS },
	{ true, false, "http://elsewhere/t", true, CX_FETCH_OTHER },
	{ false, true, "http://127.0.0.1/t", false, CX_FETCH_NOT_TLS },
	{ false, false, "http://127.0.0.1/t", false, CX_FETCH_NOT_TLS },
	{ false, true, "https://elsewhere/t", true, CX_FETCH_OTHER },
	{ false, true, "file:///etc/passwd", false, CX_FETCH_PROTOCOL },
	{ false, true, "https://u:p@elsewhere/", false, CX_FETCH_PROTOCOL },
	{ false, true, "/t", false, CX_FETCH_PROTOCOL },
};

START_TEST(where_secrets_go)
{
	char challenge[128];

	e->plain = realms[_i].plain;
	if (realms[_i].secret)
		set_password();
	(void)snprintf(challenge, sizeof challenge, "Bearer realm=\"%s\"", realms[_i].realm);
	ck_assert_msg(cx_access_challenged(e, "", challenge, "", &fault) == realms[_i].fine, "%s",
		      realms[_i].realm);
	if (!realms[_i].fine)
		ck_assert_int_eq(fault.reason, realms[_i].reason);
	else
		ck_assert_int_eq(fault.err.errnum, 0);
}
END_TEST

static void challenge_with(const char *answer, unsigned n)
{
	char challenge[128];

	(void)snprintf(challenge, sizeof challenge,
		       "Bearer realm=\"http://127.0.0.1:%u/t\",service=s,scope=\"more\"",
		       serve(answer, strlen(answer), n));
	ck_assert(cx_access_challenged(e, "repository:a:pull", challenge, "", &fault));
}

START_TEST(a_token_is_fetched_and_kept)
{
	challenge_with("HTTP/1.0 200 OK\r\n\r\n{\"token\":\"abc\"}", 2);
	ck_assert_int_eq(header("repository:a:pull"), CX_ACCESS_WAIT);
	ck_assert_int_eq(settled("repository:a:pull"), CX_ACCESS_GRANTED);
	ck_assert_str_eq(sent, "Bearer abc");
	ck_assert_int_eq(cx_access_sent(e, sent), CX_SENT_NOTHING); /* as anybody gets one */
	ck_assert_int_eq(header("repository:a:pull"), CX_ACCESS_GRANTED);
	/* One that is refused is replaced, unless somebody did that meanwhile. */
	ck_assert(cx_access_challenged(e, "repository:a:pull",
				       "Bearer realm=\"http://127.0.0.1:1/\"", "Bearer old",
				       &fault));
	ck_assert_int_eq(header("repository:a:pull"), CX_ACCESS_GRANTED);
	ck_assert(cx_access_challenged(e, "repository:a:pull",
				       "Bearer realm=\"http://127.0.0.1:1/\"", "Bearer abc",
				       &fault));
	ck_assert_int_eq(settled("repository:a:pull"), CX_ACCESS_FAILED);
	ck_assert_int_eq(fault.reason, CX_FETCH_UNREACHABLE);
}
END_TEST

static const struct {
	const char *answer;
	enum cx_fetch_reason reason;
	bool again;
} refusals[] = {
	{ "HTTP/1.0 401 No\r\n\r\n{\"details\":\"who?\"}", CX_FETCH_UNAUTHORIZED, false },
	{ "HTTP/1.0 503 No\r\n\r\n", CX_FETCH_SERVER, true },
	{ "HTTP/1.0 200 OK\r\n\r\n{}", CX_FETCH_PROTOCOL, false },
	{ "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", CX_FETCH_PROTOCOL, false },
	{ "", CX_FETCH_UNREACHABLE, true },
};

START_TEST(a_token_is_refused)
{
	set_password();
	challenge_with(refusals[_i].answer, 4);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(settled("repository:a:pull"), CX_ACCESS_FAILED);
		ck_assert_int_eq(fault.reason, refusals[_i].reason);
		ck_assert_int_eq(fault.again, refusals[_i].again);
		ck_assert_ptr_nonnull(strstr(fault.err.msg, "token service '127.0.0.1:"));
		ck_assert_ptr_null(strstr(fault.err.msg, "pass:word"));
	}
}
END_TEST

START_TEST(the_oldest_scope_makes_room)
{
	char scope[32];

	challenge_with("HTTP/1.0 200 OK\r\n\r\n{\"token\":\"abc\"}", 3 * CX_ACCESS_TOKENS);
	for (int i = 0; i < 2 * CX_ACCESS_TOKENS; i++) {
		(void)snprintf(scope, sizeof scope, "repository:a%d:pull", i);
		ck_assert_int_eq(settled(scope), CX_ACCESS_GRANTED);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/access");
	TCase *t = tcase_create("access");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_is_sent_unasked);
	tcase_add_test(t, a_password_once);
	tcase_add_test(t, no_password_to_give);
	tcase_add_test(t, a_token_of_the_registry);
	tcase_add_loop_test(t, where_secrets_go, 0, (int)CX_LEN(realms));
	tcase_add_test(t, a_token_is_fetched_and_kept);
	tcase_add_loop_test(t, a_token_is_refused, 0, (int)CX_LEN(refusals));
	tcase_add_test(t, the_oldest_scope_makes_room);
	suite_add_tcase(s, t);
	return run_suite(s);
}
