/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients send: bodies for a sandbox (first byte 0) and for a command. Bytes that are no ASCII
 * text are words. What is accepted must be whole and within its bounds.
 */
#include <jansson.h>

#include "api/spec.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"{\"docker_image\":\"a\"",
	"{\"command\":\"a\"",
	"{\"command\":[",
	",\"name\":\"",
	",\"start_command\":",
	"{\"executable\":\"a\",\"args\":[",
	",\"cpu_cores\":",
	",\"memory_gb\":",
	",\"disk_size_gb\":",
	",\"pids_limit\":",
	",\"timeout_minutes\":",
	",\"network_allowlist\":[",
	",\"environment_vars\":{",
	",\"secrets\":{",
	",\"labels\":[",
	",\"idempotency_key\":\"",
	",\"env\":{",
	",\"working_dir\":\"",
	",\"user\":\"",
	",\"stdin\":\"",
	",\"timeout\":",
	",\"tty\":true,\"rows\":",
	",\"cols\":",
	",\"volumes\":null",
	"\"a\":\"b\"",
	"\"x\",",
	"\\ud83d\\ude00",
	"\\u0000",
	"1e308",
	"9223372036854775807",
	"\xc3\xa4",
	"\\u0001",
};

static void look_at_strv(const struct cx_buf *strv)
{
	if (strv->len > strv->max || (strv->len > 0 && strv->p[strv->len - 1] != '\0'))
		abort();
}

/* Texts that are kept as JSON are given to clients as they are. */
static void look_at_json(const char *text, size_t max)
{
	json_t *doc = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (doc == NULL || strlen(text) > max)
		abort();
	json_decref(doc);
}

static void look_at_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-";
	char host[64];

	if (name == NULL || strlen(name) < 1 || strlen(name) > 128)
		abort();
	cx_spec_hostname(name, host);
	if (strlen(host) < 1 || strspn(host, letters) != strlen(host) || host[0] == '-')
		abort();
}

static void try_sandbox(const char *body, size_t len)
{
	static const struct cx_host host = { .cpus = 4, .memory_bytes = (uint64_t)8 << 30 };
	CX_AUTO(cx_spec_clear) struct cx_spec spec = { 0 };
	struct cx_err err;

	if (cx_spec_parse(body, len, &host, &spec, &err) < 0) {
		if (err.errnum == 0 || err.kind != CX_INVALID)
			abort();
		return;
	}
	look_at_name(spec.row.name);
	look_at_strv(&spec.env);
	look_at_strv(&spec.start);
	look_at_json(spec.row.notices, 8192);
	look_at_json(spec.row.labels, 1 << 20);
	look_at_json(spec.row.environment_vars, 1 << 20);
	look_at_json(spec.row.secret_names, 1 << 20);
	if (spec.row.image_name == NULL || !(spec.row.cpu_cores > 0 && spec.row.cpu_cores <= 4) ||
	    cx_spec_memory_bytes(&spec.row) < (uint64_t)16 << 20 ||
	    cx_spec_memory_bytes(&spec.row) > host.memory_bytes || spec.row.pids_limit < 1)
		abort();
}

static void try_command(const char *body, size_t len)
{
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec spec = { 0 };
	struct cx_err err;

	if (cx_exec_spec_parse(body, len, &spec, &err) < 0) {
		if (err.errnum == 0 || err.kind != CX_INVALID)
			abort();
		return;
	}
	look_at_strv(&spec.argv);
	look_at_strv(&spec.env);
	if (spec.argv.len < 2 || spec.cwd == NULL || spec.user == NULL || spec.rows > 65535 ||
	    spec.cols > 65535)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 17];
	struct input in = { data, size };
	uint8_t what = take_byte(&in);
	size_t len = expand_json(in.p, in.left, words, CX_LEN(words), text, sizeof text);
	/* A copy of exactly its size, so that a byte too far is seen. */
	cx_autofree char *body = malloc(len > 0 ? len : 1);

	if (body == NULL)
		abort();
	memcpy(body, text, len);
	if (what == 0)
		try_sandbox(body, len);
	else
		try_command(body, len);
	return 0;
}
