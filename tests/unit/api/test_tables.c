/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of routes.c and errors.c, the codec of frames.c, the credential of auth.c. */
#include <string.h>

#include "check_main.h"

#include "api/auth.h"
#include "api/errors.h"
#include "api/frames.h"
#include "api/routes.h"
#include "base/fd.h"
#include "base/loop.h"

START_TEST(every_kind_has_a_status)
{
	ck_assert_int_eq(cx_error_rows[_i].kind, _i);
	ck_assert_uint_ge(cx_error_rows[_i].status, 400);
	ck_assert_uint_lt(cx_error_rows[_i].status, 600);
	ck_assert_uint_ne(cx_error_rows[_i].status, 502); /* clients repeat what has happened */
	ck_assert((cx_error_rows[_i].status == 429) == (_i == CX_BUSY));
	ck_assert_ptr_nonnull(cx_error_rows[_i].why);
	ck_assert_uint_eq(cx_error_status((unsigned)_i), cx_error_rows[_i].status);
}
END_TEST

START_TEST(bad_requests_are_never_our_fault)
{
	ck_assert_uint_lt(cx_error_status(CX_INVALID), 500);
	ck_assert_uint_lt(cx_error_status(CX_DENIED), 500);
	ck_assert_uint_lt(cx_error_status(CX_NOT_FOUND), 500);
	ck_assert_uint_lt(cx_error_status(CX_CONFLICT), 500);
	ck_assert_uint_eq(cx_error_status(CX_KIND_MAX + 5), 500);
}
END_TEST

START_TEST(an_error_tells_a_refusal_and_hides_the_host)
{
	struct cx_buf out = { .max = 4096 };
	struct cx_err err, failed;

	(void)cx_refuse(&err, CX_INVALID, "'name' is \"odd\"");
	ck_assert_int_eq(cx_error_body(&err, "r1", &out, &failed), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &failed), 0);
	ck_assert_str_eq(out.p, "{\"detail\":\"'name' is "
				"\\\"odd\\\"\",\"code\":\"invalid\",\"request_id\":\"r1\"}");
	out.len = 0;
	(void)cx_fail(&err, EIO, "open '/var/lib/caisson/secret'");
	ck_assert_int_eq(cx_error_body(&err, "r2", &out, &failed), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &failed), 0);
	ck_assert_ptr_null(strstr(out.p, "/var"));
	ck_assert_ptr_nonnull(strstr(out.p, "\"code\":\"internal\""));
	ck_assert_ptr_nonnull(strstr(out.p, "about request r2"));
	cx_buf_free(&out);
}
END_TEST

static void check_route(const struct cx_route *route)
{
	char param[CX_PARAM_MAX + 1], allow[64];
	char path[128] = "";
	unsigned status = 0;

	ck_assert(route->handle != NULL);
	ck_assert_ptr_nonnull(route->why);
	ck_assert_int_eq(route->path[0], '/');
	if (route->scope == CX_SCOPE_PUBLIC)
		ck_assert_str_eq(route->method, "GET");
	for (const char *from = route->path; *from != '\0'; from++) {
		if (*from == '{') {
			strcat(path, "abc");
			from = strchr(from, '}');
		} else {
			strncat(path, from, 1);
		}
	}
	/* No row hides another. */
	ck_assert_ptr_eq(cx_route_find(route->method, path, param, &status, allow), route);
	ck_assert(strchr(route->path, '{') == NULL || strcmp(param, "abc") == 0);
}

START_TEST(every_route_is_whole)
{
	const struct cx_route_table *table = cx_route_tables[_i];

	ck_assert_uint_gt(table->count, 0);
	for (size_t i = 0; i < table->count; i++)
		check_route(&table->rows[i]);
}
END_TEST

static const struct {
	const char *method, *path;
	unsigned status;
	const char *allow;
} wrong[] = {
	{ "GET", "/", 404, "" },
	{ "GET", "", 404, "" },
	{ "GET", "/api/v1/sandbox/", 404, "" },
	{ "GET", "/api/v1/sandbox/a/b", 404, "" },
	{ "GET", "/api/v1/sandbox/a/exec/", 404, "" },
	{ "GET", "/api/v1/images/", 404, "" },
	{ "PUT", "/healthz", 405, "GET" },
	{ "PUT", "/api/v1/sandbox/a/exec", 405, "POST, GET" },
	{ "PUT", "/api/v1/sandbox/a", 405, "GET, DELETE, PATCH" },
	{ "get", "/healthz", 405, "GET" },
	{ "GET", "/api/v1/sandbox/a/expose/b", 405, "DELETE" },
	{ "DELETE", "/api/v1/sandbox/a/expose/b/c", 404, "" },
	{ "DELETE", "/api/v1/sandbox/a/expose/", 404, "" },
};

START_TEST(wrong_requests_have_no_route)
{
	char param[CX_PARAM_MAX + 1], allow[64];
	unsigned status = 0;

	ck_assert_ptr_null(cx_route_find(wrong[_i].method, wrong[_i].path, param, &status, allow));
	ck_assert_uint_eq(status, wrong[_i].status);
	ck_assert_str_eq(allow, wrong[_i].allow);
}
END_TEST

START_TEST(parameters_are_bounded)
{
	char param[CX_PARAM_MAX + 1], path[CX_PARAM_MAX + 32];

	memset(path, 'a', sizeof path);
	memcpy(path, "/x/", 3);
	path[3 + CX_PARAM_MAX] = '\0';
	ck_assert(cx_route_match("/x/{}", path, param));
	ck_assert_uint_eq(strlen(param), CX_PARAM_MAX);
	path[3 + CX_PARAM_MAX] = 'a';
	path[4 + CX_PARAM_MAX] = '\0';
	ck_assert(!cx_route_match("/x/{}", path, param));
	ck_assert(cx_route_match("/x/{}/y/{}", "/x/one/y/two", param));
	ck_assert_str_eq(param, "one");
	ck_assert_str_eq(param + 4, "two");
	ck_assert(!cx_route_match("/x/{}/y/{}", "/x/one/y/", param));
	ck_assert(!cx_route_match("/x/{}/y/{}", "/x/one/y/two/", param));
	ck_assert(cx_route_match("/x/{+}", "/x/a/b:c", param));
	ck_assert_str_eq(param, "a/b:c");
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
	ssize_t result; /* -1: refused */
} frames[] = {
	{ "", 0, 0 },
	{ "\x00\x00\x00\x00", 4, 0 },
	{ "\x00\x00\x00\x00\x00", 5, 5 },
	{ "\x00\x02\x00\x00\x00x", 6, 0 },
	{ "\x00\x02\x00\x00\x00xy", 7, 7 },
	{ "\x00\x01\x00\x01\x00", 5, -1 }, /* 65,537 bytes */
	{ "\x00\xff\xff\xff\xff", 5, -1 },
	{ "\x10\x01\x00\x00\x00\x0f", 6, 6 },
	{ "\x10\x00\x00\x00\x00", 5, -1 },
	{ "\x10\x02\x00\x00\x00", 5, -1 },
	{ "\x11\x04\x00\x00\x00\x01\x00\x02\x00", 9, 9 },
	{ "\x11\x05\x00\x00\x00", 5, -1 },
	{ "\x01\x00\x00\x00\x00", 5, -1 }, /* ours, not a client's */
	{ "\x21\x00\x00\x00\x00", 5, -1 },
	{ "\xff\x00\x00\x00\x00", 5, -1 },
};

START_TEST(frames_are_read)
{
	struct cx_frame frame = { 0 };
	struct cx_err err;
	ssize_t n = cx_frame_read((const uint8_t *)frames[_i].bytes, frames[_i].len, &frame, &err);

	ck_assert_int_eq(n < 0 ? -1 : n, frames[_i].result);
	if (n > 0)
		ck_assert_uint_eq(frame.len, frames[_i].len - CX_FRAME_HEADER);
}
END_TEST

START_TEST(frames_are_written)
{
	struct cx_buf out = { .max = 64 };
	struct cx_err err;

	ck_assert_int_eq(cx_frame_add(&out, CX_FRAME_STDERR, "abc", 3, &err), 0);
	ck_assert_uint_eq(out.len, 8);
	ck_assert_mem_eq(out.p,
			 "\x02\x03\x00\x00\x00"
			 "abc",
			 8);
	cx_buf_free(&out);
}
END_TEST

static int load_key(const char *text, struct cx_auth *auth)
{
	struct cx_err err;
	int r, w, result;

	ck_assert_int_eq(cx_pipe(&r, &w, &err), 0);
	ck_assert_int_eq(cx_write_all(w, text, strlen(text), &err), 0);
	cx_close(&w);
	result = cx_auth_load(auth, r, &err);
	cx_close(&r);
	return result;
}

static bool opens(const struct cx_auth *auth, const char *header)
{
	struct cx_caller caller;
	bool known = cx_auth_identify(auth, header, &caller);

	ck_assert(known == caller.admin);
	return known;
}

START_TEST(only_the_key_opens)
{
	struct cx_auth auth = { 0 };

	ck_assert_int_eq(load_key("0123456789abcdef\n", &auth), 0);
	ck_assert(opens(&auth, "Bearer 0123456789abcdef"));
	ck_assert(!opens(&auth, "Bearer 0123456789abcdeg"));
	ck_assert(!opens(&auth, "Bearer 0123456789abcdef "));
	ck_assert(!opens(&auth, "Bearer "));
	ck_assert(!opens(&auth, "Basic 0123456789abcdef"));
	ck_assert(!opens(&auth, ""));
	ck_assert(!opens(&auth, NULL));
}
END_TEST

START_TEST(a_token_opens_its_sandbox)
{
	struct cx_auth auth = { 0 };
	struct cx_caller caller;
	char header[8 + CX_TOKEN_MAX] = "Bearer ";

	ck_assert_int_eq(load_key("\n", &auth), 0);
	cx_token_make(&auth.tokens, "abc", cx_wall_ms() + 60000, header + 7);
	ck_assert(cx_auth_identify(&auth, header, &caller));
	ck_assert_str_eq(caller.sandbox, "abc");
	ck_assert_str_eq(caller.user, "");
	ck_assert(!caller.admin);
	header[7] = 'x';
	ck_assert(!cx_auth_identify(&auth, header, &caller));
	ck_assert_str_eq(caller.sandbox, "");
}
END_TEST

START_TEST(no_key_opens_nothing)
{
	struct cx_auth auth = { .has_key = true };

	ck_assert_int_eq(load_key("\n", &auth), 0);
	ck_assert(!auth.has_key);
	ck_assert(!opens(&auth, "Bearer "));
	ck_assert_int_lt(load_key("short", &auth), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/tables");
	TCase *tc = tcase_create("tables");

	tcase_add_loop_test(tc, every_kind_has_a_status, 0, CX_KIND_MAX);
	tcase_add_test(tc, bad_requests_are_never_our_fault);
	tcase_add_test(tc, an_error_tells_a_refusal_and_hides_the_host);
	tcase_add_loop_test(tc, every_route_is_whole, 0, (int)cx_route_tables_count);
	tcase_add_loop_test(tc, wrong_requests_have_no_route, 0, CX_LEN(wrong));
	tcase_add_test(tc, parameters_are_bounded);
	tcase_add_loop_test(tc, frames_are_read, 0, CX_LEN(frames));
	tcase_add_test(tc, frames_are_written);
	tcase_add_test(tc, only_the_key_opens);
	tcase_add_test(tc, a_token_opens_its_sandbox);
	tcase_add_test(tc, no_key_opens_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
