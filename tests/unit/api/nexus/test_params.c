/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"

#define HEAD		     "{\"jsonrpc\":\"2.0\",\"id\":\"a-1\","
#define CALL(method, params) HEAD "\"method\":\"" method "\",\"params\":" params "}"

/* Each body has one fault. id: what the answer carries. */
static const struct {
	const char *path, *body;
	int code;
	const char *id, *text;
} bad[] = {
	{ "sandbox_list", "", -32600, NULL, "empty" },
	{ "sandbox_list", "{", -32700, NULL, "JSON" },
	{ "sandbox_list", "\xff\xfe", -32700, NULL, "JSON" },
	{ "sandbox_list", "{\"id\":1,\"id\":2}", -32700, NULL, "JSON" },
	{ "sandbox_list", "[]", -32600, NULL, "batches" },
	{ "sandbox_list", "[" CALL("sandbox_list", "{}") "]", -32600, NULL, "batches" },
	{ "sandbox_list", "7", -32600, NULL, "object" },
	{ "sandbox_list", "{\"jsonrpc\":\"2.0\",\"method\":\"sandbox_list\"}", -32600, NULL,
	  "notifications" },
	{ "sandbox_list", "{\"jsonrpc\":\"2.0\",\"id\":null}", -32600, NULL, "notifications" },
	{ "sandbox_list", "{\"jsonrpc\":\"2.0\",\"id\":true}", -32600, NULL, "'id'" },
	{ "sandbox_list", "{\"jsonrpc\":\"2.0\",\"id\":[1]}", -32600, NULL, "'id'" },
	{ "sandbox_list", "{\"id\":4}", -32600, "4", "jsonrpc" },
	{ "sandbox_list", "{\"jsonrpc\":\"1.0\",\"id\":4}", -32600, "4", "jsonrpc" },
	{ "sandbox_list", "{\"jsonrpc\":2,\"id\":4}", -32600, "4", "jsonrpc" },
	{ "sandbox_list", HEAD "\"method\":7}", -32600, "\"a-1\"", "method" },
	{ "sandbox_list", CALL("sandbox_run", "{}"), -32600, "\"a-1\"", "Method mismatch" },
	{ "read", CALL("read", "{}"), -32601, "\"a-1\"", "'read'" },
	{ "sandbox_list", CALL("sandbox_list", "[]"), -32602, "\"a-1\"", "'params'" },
	{ "sandbox_list", CALL("sandbox_list", "{\"verify_status\":1}"), -32602, "\"a-1\"",
	  "verify_status" },
	{ "sandbox_list", CALL("sandbox_list", "{\"color\":1}"), -32602, "\"a-1\"", "'color'" },
	{ "sandbox_list", CALL("sandbox_list", "{\"context\":\"me\"}"), -32602, "\"a-1\"",
	  "'context'" },
	{ "sandbox_list", CALL("sandbox_list", "{\"context\":{\"agent_id\":7}}"), -32602, "\"a-1\"",
	  "agent_id" },
	{ "sandbox_create", CALL("sandbox_create", "{}"), -32602, "\"a-1\"", "'name'" },
	{ "sandbox_create", CALL("sandbox_create", "{\"name\":\"\"}"), -32602, "\"a-1\"",
	  "'name'" },
	{ "sandbox_create", CALL("sandbox_create", "{\"name\":null}"), -32602, "\"a-1\"",
	  "'name'" },
	{ "sandbox_create", CALL("sandbox_create", "{\"name\":\"a\",\"ttl_minutes\":0}"), -32602,
	  "\"a-1\"", "ttl_minutes" },
	{ "sandbox_create", CALL("sandbox_create", "{\"name\":\"a\",\"ttl_minutes\":\"9\"}"),
	  -32602, "\"a-1\"", "ttl_minutes" },
	{ "sandbox_create", CALL("sandbox_create", "{\"name\":\"a\",\"code\":\"b\"}"), -32602,
	  "\"a-1\"", "'code'" },
	{ "sandbox_run", CALL("sandbox_run", "{\"sandbox_id\":\"a\",\"language\":\"bash\"}"),
	  -32602, "\"a-1\"", "'code'" },
	{ "sandbox_run",
	  CALL("sandbox_run",
	       "{\"sandbox_id\":\"a\",\"language\":\"bash\",\"code\":\"b\",\"timeout\":0}"),
	  -32602, "\"a-1\"", "timeout" },
	{ "sandbox_run",
	  CALL("sandbox_run",
	       "{\"sandbox_id\":\"a\",\"language\":\"bash\",\"code\":\"b\",\"timeout\":1.5}"),
	  -32602, "\"a-1\"", "timeout" },
	{ "sandbox_stop", CALL("sandbox_stop", "{\"sandbox_id\":7}"), -32602, "\"a-1\"",
	  "sandbox_id" },
};

START_TEST(refuses)
{
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request request;
	struct cx_err err;
	int code = 0;

	ck_assert_int_lt(cx_nexus_parse(bad[_i].body, strlen(bad[_i].body), bad[_i].path, &request,
					&code, &err),
			 0);
	ck_assert_msg(code == bad[_i].code, "%s: %d", bad[_i].body, code);
	ck_assert_msg(strstr(err.msg, bad[_i].text) != NULL, "%s: %s", bad[_i].body, err.msg);
	ck_assert_pstr_eq(request.id, bad[_i].id);
}
END_TEST

static void parse(const char *path, const char *body, struct cx_nexus_request *ret)
{
	struct cx_err err = { 0 };
	int code = 0;

	ck_assert_msg(cx_nexus_parse(body, strlen(body), path, ret, &code, &err) == 0, "%s: %s",
		      body, err.msg);
}

START_TEST(takes_every_parameter_of_a_create)
{
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request r;

	parse("sandbox_create",
	      CALL("sandbox_create",
		   "{\"name\":\"n\",\"ttl_minutes\":30,\"provider\":\"e2b\",\"template_id\":\"t\","
		   "\"context\":{\"user\":\"u\",\"agent_id\":\"a\",\"tenant_id\":\"x\","
		   "\"groups\":[1]}}"),
	      &r);
	ck_assert_int_eq(r.method, CX_NEXUS_CREATE);
	ck_assert_str_eq(r.id, "\"a-1\"");
	ck_assert_str_eq(r.p.name, "n");
	ck_assert(r.p.ttl_minutes == 30);
	ck_assert_str_eq(r.p.provider, "e2b");
	ck_assert_str_eq(r.p.template_id, "t");
	ck_assert_str_eq(r.p.context.user, "u");
	ck_assert_str_eq(r.p.context.agent_id, "a");
	ck_assert_str_eq(r.p.context.tenant_id, "x");
}
END_TEST

START_TEST(knows_what_is_left_out)
{
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request create, get, run;

	/* The method may stand in the path alone, and null is the same as nothing. */
	parse("sandbox_create",
	      HEAD "\"params\":{\"name\":\"n\",\"template_id\":null,\"context\":null}}", &create);
	ck_assert(create.p.ttl_minutes == 10);
	ck_assert_ptr_null(create.p.provider);
	ck_assert_ptr_null(create.p.template_id);
	ck_assert(!create.p.verify_status);
	parse("sandbox_get_or_create", HEAD "\"params\":{\"name\":\"n\"}}", &get);
	ck_assert(get.p.verify_status);
	parse("sandbox_run",
	      HEAD "\"params\":{\"sandbox_id\":\"s\",\"language\":\"python\",\"code\":\"\"}}",
	      &run);
	ck_assert_int_eq(run.p.timeout, 300);
	ck_assert_str_eq(run.p.code, "");
}
END_TEST

START_TEST(keeps_the_id_as_it_is)
{
	static const char *const ids[] = { "7", "-1", "\"\\u00e4\\\"\"", "1.5" };
	static const char *const told[] = { "7", "-1", "\"\xc3\xa4\\\"\"", "1.5" };
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request r;
	char body[128];

	(void)snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%s}", ids[_i]);
	parse("sandbox_list", body, &r);
	ck_assert_str_eq(r.id, told[_i]);
}
END_TEST

START_TEST(takes_code_of_a_megabyte)
{
	enum { LEN = 1 << 20 };
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request r;
	static const char head[] = HEAD "\"params\":{\"sandbox_id\":\"s\",\"language\":\"bash\","
					"\"code\":\"";
	cx_autofree char *body = malloc(sizeof head + LEN + 8);

	ck_assert_ptr_nonnull(body);
	(void)strcpy(body, head);
	memset(body + sizeof head - 1, 'x', LEN);
	(void)strcpy(body + sizeof head - 1 + LEN, "\"}}");
	parse("sandbox_run", body, &r);
	ck_assert_uint_eq(strlen(r.p.code), LEN);
}
END_TEST

START_TEST(every_error_has_a_code)
{
	for (unsigned kind = 0; kind < CX_KIND_MAX; kind++)
		ck_assert_msg(cx_nexus_code(kind) <= -32000, "%s", cx_kind_name(kind));
	ck_assert_int_eq(cx_nexus_code(CX_INVALID), -32602);
	ck_assert_int_eq(cx_nexus_code(CX_NOT_FOUND), -32603);
	ck_assert_int_eq(cx_nexus_code(CX_DENIED), -32004);
}
END_TEST

START_TEST(knows_ten_methods)
{
	static const char *const names[] = { "create",	"get_or_create", "run",	   "pause",
					     "resume",	"stop",		 "status", "list",
					     "connect", "disconnect" };

	ck_assert_uint_eq(CX_LEN(names), CX_NEXUS_METHODS);
	for (size_t i = 0; i < CX_LEN(names); i++)
		ck_assert_str_eq(strchr(cx_nexus_method_name((enum cx_nexus_method)i), '_') + 1,
				 names[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nexus params");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, refuses, 0, (int)CX_LEN(bad));
	tcase_add_test(t, takes_every_parameter_of_a_create);
	tcase_add_test(t, knows_what_is_left_out);
	tcase_add_loop_test(t, keeps_the_id_as_it_is, 0, 4);
	tcase_add_test(t, takes_code_of_a_megabyte);
	tcase_add_test(t, every_error_has_a_code);
	tcase_add_test(t, knows_ten_methods);
	suite_add_tcase(s, t);
	return run_suite(s);
}
