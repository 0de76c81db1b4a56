/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "check_main.h"

#include "api/gateway.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/present.h"
#include "api/spec.h"
#include "proto/agent_msgs.h"

static const struct cx_gateway nobody_waits;
static const struct cx_host host = { .cpus = 4,
				     .memory_bytes = (uint64_t)8 << 30,
				     .disks = "none" };

#define IMAGE "\"docker_image\":\"debian\""

/* Each body has one fault; the refusal names the field. */
static const struct {
	const char *body, *field;
} bad[] = {
	{ "{}", "docker_image" },
	{ "{\"docker_image\":\"\"}", "docker_image" },
	{ "{\"docker_image\":\"a b\"}", "docker_image" },
	{ "{\"docker_image\":\"../etc\"}", "docker_image" },
	{ "{\"docker_image\":7}", "docker_image" },
	{ "{" IMAGE ",\"name\":\"\"}", "name" },
	{ "{" IMAGE ",\"name\":\"a/b\"}", "name" },
	{ "{" IMAGE ",\"name\":\"a\\nb\"}", "name" },
	{ "{" IMAGE ",\"name\":[\"a\"]}", "name" },
	{ "{" IMAGE ",\"cpu_cores\":0}", "cpu_cores" },
	{ "{" IMAGE ",\"cpu_cores\":-1}", "cpu_cores" },
	{ "{" IMAGE ",\"cpu_cores\":0.001}", "cpu_cores" },
	{ "{" IMAGE ",\"cpu_cores\":5}", "cpu_cores" },
	{ "{" IMAGE ",\"cpu_cores\":\"1\"}", "cpu_cores" },
	{ "{" IMAGE ",\"cpu_cores\":1e300}", "cpu_cores" },
	{ "{" IMAGE ",\"memory_gb\":0}", "memory_gb" },
	{ "{" IMAGE ",\"memory_gb\":0.001}", "memory_gb" },
	{ "{" IMAGE ",\"memory_gb\":9}", "memory_gb" },
	{ "{" IMAGE ",\"memory_gb\":-2}", "memory_gb" },
	{ "{" IMAGE ",\"disk_size_gb\":0}", "disk_size_gb" },
	{ "{" IMAGE ",\"scratch\":\"tape\"}", "scratch" },
	{ "{" IMAGE ",\"pids_limit\":0}", "pids_limit" },
	{ "{" IMAGE ",\"pids_limit\":10.5}", "pids_limit" },
	{ "{" IMAGE ",\"pids_limit\":99999999}", "pids_limit" },
	{ "{" IMAGE ",\"timeout_minutes\":0}", "timeout_minutes" },
	{ "{" IMAGE ",\"timeout_minutes\":-2}", "timeout_minutes" },
	{ "{" IMAGE ",\"timeout_minutes\":-0.5}", "timeout_minutes" },
	{ "{" IMAGE ",\"idle_timeout_minutes\":0}", "idle_timeout_minutes" },
	{ "{" IMAGE ",\"gpu_count\":1}", "gpu_count" },
	{ "{" IMAGE ",\"network_access\":\"no\"}", "network_access" },
	{ "{" IMAGE ",\"network_allowlist\":[],\"network_denylist\":[]}", "network_allowlist" },
	{ "{" IMAGE ",\"network_allowlist\":[\"\"]}", "network_allowlist" },
	{ "{" IMAGE ",\"network_allowlist\":[\"example.com\"]}", "network_allowlist" },
	{ "{" IMAGE ",\"network_denylist\":[\"10.0.0.0/8\"]}", "network_denylist" },
	{ "{" IMAGE ",\"network_access\":false,\"network_denylist\":[]}", "network_denylist" },
	{ "{" IMAGE ",\"registry_credentials_id\":\"a\"}", "registry_credentials_id" },
	{ "{" IMAGE ",\"environment_vars\":{\"A=\":\"1\"}}", "environment_vars" },
	{ "{" IMAGE ",\"environment_vars\":[\"A=1\"]}", "environment_vars" },
	{ "{" IMAGE ",\"secrets\":{\"A\":1}}", "secrets" },
	{ "{" IMAGE ",\"labels\":\"a\"}", "labels" },
	{ "{" IMAGE ",\"labels\":[1]}", "labels" },
	{ "{" IMAGE ",\"labels\":[\"\"]}", "labels" },
	{ "{" IMAGE ",\"start_command\":7}", "start_command" },
	{ "{" IMAGE ",\"start_command\":{}}", "start_command" },
	{ "{" IMAGE ",\"start_command\":{\"executable\":\"\"}}", "start_command" },
	{ "{" IMAGE ",\"start_command\":{\"executable\":\"a\",\"args\":\"b\"}}", "start_command" },
	{ "{" IMAGE ",\"start_command\":[\"\"]}", "start_command" },
	{ "{" IMAGE ",\"arch\":\"arm64\"}", "arch" },
	{ "{" IMAGE ",\"pull_policy\":\"sometimes\"}", "pull_policy" },
	{ "{" IMAGE ",\"pull_policy\":1}", "pull_policy" },
	{ "{" IMAGE ",\"checkpoint_id\":\"x\"}", "checkpoint_id" },
};

START_TEST(each_fault_names_its_field)
{
	struct cx_spec spec = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_spec_parse(bad[_i].body, strlen(bad[_i].body), &host, &spec, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, bad[_i].field) != NULL, "%s: %s", bad[_i].body, err.msg);
	ck_assert_ptr_null(spec.row.name);
}
END_TEST

static struct cx_spec parse(const char *body)
{
	struct cx_spec spec = { 0 };
	struct cx_err err = { 0 };

	ck_assert_msg(cx_spec_parse(body, strlen(body), &host, &spec, &err) == 0, "%s", err.msg);
	return spec;
}

START_TEST(defaults_are_an_idle_sandbox)
{
	struct cx_spec spec = parse("{" IMAGE ",\"name\":null,\"team_id\":\"\"}");

	ck_assert_str_eq(spec.row.image, "debian");
	ck_assert_str_eq(spec.row.image_name, "debian:latest");
	ck_assert_uint_gt(strlen(spec.row.name), 8);
	ck_assert_double_eq(spec.row.cpu_cores, 1);
	ck_assert_uint_eq(cx_spec_memory_bytes(&spec.row), (uint64_t)2 << 30);
	ck_assert_uint_eq(spec.start.len, 0);
	ck_assert_uint_eq(spec.env.len, 0);
	ck_assert_str_eq(spec.row.labels, "[]");
	ck_assert_ptr_null(spec.row.team_id);
	cx_spec_clear(&spec);
}
END_TEST

START_TEST(pull_policies)
{
	static const char *const bodies[] = {
		[CX_PULL_MISSING] = "{" IMAGE ",\"pull_policy\":\"missing\"}",
		[CX_PULL_ALWAYS] = "{" IMAGE ",\"pull_policy\":\"always\"}",
		[CX_PULL_NEVER] = "{" IMAGE ",\"pull_policy\":\"never\"}",
	};
	struct cx_spec spec = parse("{" IMAGE "}");

	ck_assert_int_eq(spec.pull, CX_PULL_MISSING);
	cx_spec_clear(&spec);
	for (unsigned i = 0; i < CX_LEN(bodies); i++) {
		spec = parse(bodies[i]);
		ck_assert_int_eq(spec.pull, i);
		ck_assert_ptr_null(strstr(spec.row.notices, "pull_policy"));
		cx_spec_clear(&spec);
	}
}
END_TEST

static const struct {
	const char *value;
	const char *argv; /* a strv */
	size_t len;
} starts[] = {
	{ "\"tail -f /dev/null\"", "", 0 },
	{ "\"\"", "", 0 },
	{ "null", "", 0 },
	{ "\"a b\"", "/bin/sh\0-c\0a b\0", 15 },
	{ "[\"a\",\"b c\"]", "a\0b c\0", 6 },
	{ "{\"executable\":\"x\",\"args\":[\"1\"]}", "x\0001\0", 4 },
	{ "{\"executable\":\"x\"}", "x\0", 2 },
};

START_TEST(start_commands_of_all_clients)
{
	struct cx_spec spec;
	char body[256];

	(void)snprintf(body, sizeof body, "{" IMAGE ",\"start_command\":%s}", starts[_i].value);
	spec = parse(body);
	ck_assert_uint_eq(spec.start.len, starts[_i].len);
	if (starts[_i].len > 0)
		ck_assert_mem_eq(spec.start.p, starts[_i].argv, starts[_i].len);
	cx_spec_clear(&spec);
}
END_TEST

START_TEST(secrets_are_given_but_not_kept)
{
	struct cx_spec spec = parse("{" IMAGE ",\"secrets\":{\"KEY\":\"hidden\"},"
				    "\"environment_vars\":{\"A\":\"1\"}}");
	struct cx_buf out = { .max = 8192 };
	struct cx_jsonw w = { .out = &out };
	struct cx_err err;

	ck_assert_uint_eq(spec.env.len, 15);
	ck_assert_mem_eq(spec.env.p, "A=1\0KEY=hidden\0", 15);
	ck_assert_str_eq(spec.row.secret_names, "[\"KEY\"]");
	spec.row.status = strdup("RUNNING");
	spec.row.id = strdup("id");
	cx_present_sandbox(&w, &nobody_waits, &spec.row, NULL);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	ck_assert_ptr_null(strstr(out.p, "hidden"));
	ck_assert_ptr_nonnull(strstr(out.p, "\"secrets\":{\"KEY\":\"***\"}"));
	ck_assert_ptr_nonnull(strstr(out.p, "\"environmentVars\":{\"A\":\"1\"}"));
	cx_buf_free(&out);
	cx_spec_clear(&spec);
}
END_TEST

/* Which notices a document gets; the defaults are judged like what a client wrote. */
static const struct {
	const char *fields;
	bool disk, less, network, unknown, effectless;
} noticed[] = {
	{ "", .disk = true, .network = true },
	{ ",\"network_access\":true", .disk = true, .network = true },
	{ ",\"network_access\":false,\"disk_size_gb\":1", .disk = true },
	{ ",\"network_access\":false,\"timeout_minutes\":-1", .disk = true },
	{ ",\"network_access\":false,\"idle_timeout_minutes\":1", .disk = true },
	{ ",\"network_denylist\":[]", .disk = true, .network = true },
	{ ",\"network_allowlist\":[]", .disk = true },
	{ ",\"network_access\":false,\"frobnicate\":2", .disk = true, .unknown = true },
	{ ",\"network_access\":false,\"guaranteed\":false,\"advanced_configs\":{}", .disk = true },
	{ ",\"network_access\":false,\"scratch\":\"memory\"", .less = true },
	{ ",\"network_access\":false,\"scratch\":\"memory\",\"disk_size_gb\":1", .disk = false },
	{ ",\"network_access\":false,\"scratch\":\"disk\"", .disk = true },
	{ ",\"network_access\":false,\"guaranteed\":true", .disk = true, .effectless = true },
	{ ",\"network_access\":false,\"advanced_configs\":{\"a\":1}", .disk = true,
	  .effectless = true },
};

START_TEST(what_is_not_enforced_is_said)
{
	const struct {
		const char *text;
		bool said;
	} each[] = {
		{ "not enforced: disk_size_gb", noticed[_i].disk },
		{ "smaller than asked for: disk_size_gb", noticed[_i].less },
		{ "timeout_minutes", false },
		{ "not in force: network_access", noticed[_i].network },
		{ "'frobnicate' is unknown", noticed[_i].unknown },
		{ "without effect: ", noticed[_i].effectless },
	};
	struct cx_spec spec;
	char body[256];

	(void)snprintf(body, sizeof body, "{" IMAGE "%s}", noticed[_i].fields);
	spec = parse(body);
	for (size_t i = 0; i < CX_LEN(each); i++)
		ck_assert_msg((strstr(spec.row.notices, each[i].text) != NULL) == each[i].said,
			      "%s: %s", each[i].text, spec.row.notices);
	cx_spec_clear(&spec);
}
END_TEST

START_TEST(a_network_needs_no_notice_but_is_checked)
{
	struct cx_host with = host;
	struct cx_spec spec = { 0 };
	struct cx_err err;
	const char *body = "{" IMAGE ",\"network_allowlist\":[\"A.b:8080\"],\"network\":\"lab\"}";

	with.network = true;
	ck_assert_int_lt(cx_spec_parse(body, strlen(body), &host, &spec, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "without a network"));
	ck_assert_int_eq(cx_spec_parse(body, strlen(body), &with, &spec, &err), 0);
	ck_assert_ptr_null(strstr(spec.row.notices, "network"));
	ck_assert_str_eq(spec.row.network_allowlist, "[\"a.b:8080\"]");
	ck_assert_str_eq(spec.row.network_name, "lab");
	ck_assert_int_eq(spec.row.network_access, 1);
	cx_spec_clear(&spec);
}
END_TEST

/* What each client generation gets for a text and for an object. */
static const struct {
	const char *start, *agent, *expected;
} presented[] = {
	{ "\"a b\"", "prime-sandboxes/0.2.32 python/3.11.2", "\"startCommand\":\"a b\"" },
	{ "\"a b\"", "prime-sandboxes/0.5.1 python/3.11.2",
	  "\"startCommand\":{\"executable\":\"/bin/sh\",\"args\":[\"-c\",\"a b\"]}" },
	{ "\"a b\"", NULL,
	  "\"startCommand\":{\"executable\":\"/bin/sh\",\"args\":[\"-c\",\"a b\"]}" },
	{ "{\"executable\":\"x\",\"args\":[\"it's\"]}", "prime-sandboxes/0.2.6 python/3.11",
	  "\"startCommand\":\"'x' 'it'\\\\''s'\"" },
	{ "{\"executable\":\"x\"}", "curl/7",
	  "\"startCommand\":{\"executable\":\"x\",\"args\":[]}" },
	{ "null", NULL, "\"startCommand\":null" },
	{ "null", "prime-sandboxes/0.2.32 x", "\"startCommand\":null" },
};

START_TEST(start_commands_are_presented)
{
	char name[] = "n", image[] = "i", status[] = "RUNNING", start[128];
	struct cx_sandbox_row row = {
		.name = name, .image = image, .status = status, .start_command = start
	};
	struct cx_buf out = { .max = 8192 };
	struct cx_jsonw w = { .out = &out };
	struct json_t *doc = NULL;
	struct cx_err err;

	(void)snprintf(start, sizeof start, "%s", presented[_i].start);
	cx_present_sandbox(&w, &nobody_waits, &row, presented[_i].agent);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_int_eq(cx_json_parse_object(out.p, out.len, &doc, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	ck_assert_msg(strstr(out.p, presented[_i].expected) != NULL, "%s", out.p);
	cx_json_free(&doc);
	cx_buf_free(&out);
}
END_TEST

static const struct {
	const char *given, *name; /* name NULL: refused */
} images[] = {
	{ "python", "python:latest" },
	{ "python:3.11-slim", "python:3.11-slim" },
	{ "docker.io/library/python:3.11-slim", "python:3.11-slim" },
	{ "docker.io/user/app", "user/app:latest" },
	{ "localhost:5000/app", "localhost:5000/app:latest" },
	{ "a b", NULL },
	{ "", NULL },
};

START_TEST(images_have_one_name)
{
	char name[CX_IMAGE_NAME_MAX + 1];
	struct cx_err err;
	int r = cx_image_name(images[_i].given, "docker_image", NULL, name, &err);

	ck_assert_int_eq(r == 0, images[_i].name != NULL);
	if (r == 0)
		ck_assert_str_eq(name, images[_i].name);
	else
		ck_assert_ptr_nonnull(strstr(err.msg, "'docker_image'"));
}
END_TEST

static const struct {
	const char *name, *hostname;
} hosts[] = { { "web-1", "web-1" },
	      { "My Box!", "My-Box" },
	      { "...", "sandbox" },
	      { "\xc3\xa9t\xc3\xa9", "t" },
	      { "", "sandbox" } };

START_TEST(hostnames_are_plain)
{
	char name[64];

	cx_spec_hostname(hosts[_i].name, name);
	ck_assert_str_eq(name, hosts[_i].hostname);
}
END_TEST

static const struct {
	const char *body, *field;
} bad_execs[] = {
	{ "{}", "command" },
	{ "{\"command\":\"\"}", "command" },
	{ "{\"command\":[]}", "command" },
	{ "{\"command\":[\"\"]}", "command" },
	{ "{\"command\":[1]}", "command" },
	{ "{\"command\":7}", "command" },
	{ "{\"command\":\"a\",\"timeout\":0}", "timeout" },
	{ "{\"command\":\"a\",\"timeout\":-1}", "timeout" },
	{ "{\"command\":\"a\",\"timeout\":1e12}", "timeout" },
	{ "{\"command\":\"a\",\"timeout\":\"1\"}", "timeout" },
	{ "{\"command\":\"a\",\"env\":{\"\":\"x\"}}", "env" },
	{ "{\"command\":\"a\",\"working_dir\":7}", "working_dir" },
	{ "{\"command\":\"a\",\"user\":7}", "user" },
	{ "{\"command\":\"a\",\"stdin\":7}", "stdin" },
	{ "{\"command\":\"a\",\"tty\":1}", "tty" },
	{ "{\"command\":\"a\",\"tty\":true,\"rows\":70000}", "rows" },
};

START_TEST(each_fault_of_a_command_names_its_field)
{
	struct cx_exec_spec spec = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_lt(
		cx_exec_spec_parse(bad_execs[_i].body, strlen(bad_execs[_i].body), &spec, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, bad_execs[_i].field) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(commands_are_read)
{
	static const char body[] =
		"{\"command\":[\"a\",\"b\"],\"timeout\":1.5,\"env\":{\"K\":\"v\"},"
		"\"working_dir\":\"/w\",\"user\":\"u\",\"stdin\":\"in\","
		"\"tty\":true,\"rows\":3,\"cols\":4}";
	struct cx_exec_spec spec = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_exec_spec_parse(body, strlen(body), &spec, &err), 0);
	ck_assert_uint_eq(spec.flags, CX_EXEC_TTY);
	ck_assert_uint_eq(spec.argv.len, 4);
	ck_assert_mem_eq(spec.env.p, "K=v", 4);
	ck_assert_str_eq(spec.cwd, "/w");
	ck_assert_str_eq(spec.user, "u");
	ck_assert_uint_eq(spec.timeout_ms, 1500);
	ck_assert_uint_eq(spec.input.len, 2);
	ck_assert_uint_eq(spec.rows, 3);
	ck_assert_uint_eq(spec.cols, 4);
	cx_exec_spec_clear(&spec);
	ck_assert_int_eq(cx_exec_spec_parse("{\"command\":\"a b\"}", 17, &spec, &err), 0);
	ck_assert_uint_eq(spec.flags, CX_EXEC_SHELL);
	ck_assert_uint_eq(spec.timeout_ms, 0);
	ck_assert_str_eq(spec.cwd, "");
	cx_exec_spec_clear(&spec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/spec");
	TCase *tc = tcase_create("spec");

	cx_json_start();
	tcase_add_loop_test(tc, each_fault_names_its_field, 0, CX_LEN(bad));
	tcase_add_test(tc, defaults_are_an_idle_sandbox);
	tcase_add_test(tc, pull_policies);
	tcase_add_loop_test(tc, start_commands_of_all_clients, 0, CX_LEN(starts));
	tcase_add_test(tc, secrets_are_given_but_not_kept);
	tcase_add_test(tc, a_network_needs_no_notice_but_is_checked);
	tcase_add_loop_test(tc, what_is_not_enforced_is_said, 0, (int)CX_LEN(noticed));
	tcase_add_loop_test(tc, start_commands_are_presented, 0, CX_LEN(presented));
	tcase_add_loop_test(tc, images_have_one_name, 0, CX_LEN(images));
	tcase_add_loop_test(tc, hostnames_are_plain, 0, CX_LEN(hosts));
	tcase_add_loop_test(tc, each_fault_of_a_command_names_its_field, 0, CX_LEN(bad_execs));
	tcase_add_test(tc, commands_are_read);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
