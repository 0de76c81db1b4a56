/* SPDX-License-Identifier: Apache-2.0 */
#include "api/run.h"

#include <stdio.h>
#include <string.h>

#include "api/nexus/rpc.h"

/*
 * Code goes in through stdin: an argument could have 128 KiB, a file would be left behind. Whatever
 * the code itself reads from stdin is at its end.
 */
static const struct language {
	const char *name;
	const char *argv[4];
	const char *image; /* that has the program */
	const char *why;
} languages[] = {
	{ "python", { "python3", "-" }, "python:3.11-slim", "reads all before it begins" },
	{ "javascript", { "node", "-" }, "node:22-slim", "the same" },
	{ "js", { "node", "-" }, "node:22-slim", "the server's other name for it" },
	{ "bash",
	  { "bash", "-c", "eval \"$(cat)\" </dev/null" },
	  "debian:12-slim",
	  "a shell that reads its script from stdin shares it with every command in it" },
	{ "sh", { "bash", "-c", "eval \"$(cat)\" </dev/null" }, "debian:12-slim", "as js" },
};

static const struct language *find_language(const char *name)
{
	for (size_t i = 0; i < CX_LEN(languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return &languages[i];
	return NULL;
}

static int make_spec(const struct cx_nexus_params *p, const struct language *language,
		     struct cx_exec_spec *ret, struct cx_err *err)
{
	ret->argv.max = 4096;
	ret->input.max = CX_LONG_BODY_MAX;
	ret->timeout_ms = (uint32_t)p->timeout * 1000;
	ret->cwd = strdup("/workspace");
	ret->user = strdup("");
	if (ret->cwd == NULL || ret->user == NULL)
		return cx_fail(err, ENOMEM, "command");
	for (size_t i = 0; i < CX_LEN(language->argv) && language->argv[i] != NULL; i++)
		if (cx_buf_add(&ret->argv, language->argv[i], strlen(language->argv[i]) + 1, err) <
		    0)
			return -err->errnum;
	return cx_buf_add(&ret->input, p->code, strlen(p->code), err);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void write_output(struct cx_jsonw *w, const char *key, const struct cx_run_output *out)
{
	cx_jsonw_bytes(w, key, out->p, out->len);
}

/* The client has no field for it, so it is told where people look. */
static void write_errors(struct cx_jsonw *w, const struct cx_run_result *result)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = CX_RUN_KEPT_MAX + 256 };
	bool cut = result->out.bytes > result->out.len || result->err.bytes > result->err.len;
	char note[160];
	struct cx_err err;

	(void)snprintf(note, sizeof note,
		       "\ncaisson: the code wrote more than %d MiB to one stream; the rest of it "
		       "was not kept\n",
		       CX_RUN_KEPT_MAX >> 20);
	if (!cut || cx_buf_add(&text, result->err.p, result->err.len, &err) < 0 ||
	    cx_buf_add(&text, note, strlen(note), &err) < 0)
		write_output(w, "stderr", &result->err);
	else
		cx_jsonw_bytes(w, "stderr", text.p, text.len);
}

static void write_result(struct cx_jsonw *w, const struct cx_run_result *result)
{
	cx_jsonw_object(w, "result");
	write_output(w, "stdout", &result->out);
	write_errors(w, result);
	cx_jsonw_int(w, "exit_code", cx_command_exit_code(result->end));
	cx_jsonw_real(w, "execution_time", (double)result->end->wall_us / 1e6);
	cx_jsonw_end(w);
}

/* Of the sandbox itself we know by then that it is there: what is missing is inside. */
static void fail(struct cx_nexus_call *call, const struct cx_err *err)
{
	const struct language *language = find_language(call->rpc.p.language);
	char text[sizeof err->msg + 128];
	struct cx_err full;

	if (err->kind != CX_NOT_FOUND || language == NULL) {
		cx_nexus_fail(call, err);
		return;
	}
	(void)cx_refuse(&full, CX_NOT_FOUND,
			"%s code cannot run in this sandbox: %s. It needs an image that has '%s', "
			"like %s",
			language->name, cx_err_render(err, text, sizeof text), language->argv[0],
			language->image);
	cx_nexus_fail(call, &full);
}

static void on_ended(struct cx_request *req, const struct cx_run_result *result,
		     const struct cx_err *err, void *arg)
{
	struct cx_nexus_call *call = arg;
	struct cx_err late;

	(void)req;
	if (err != NULL) {
		fail(call, err);
	} else if (result->end->how == CX_EXITED_TIMEOUT) {
		(void)cx_refuse(&late, CX_TIMEOUT, "Code execution exceeded %lld second timeout",
				(long long)call->rpc.p.timeout);
		cx_nexus_fail(call, &late);
	} else {
		write_result(cx_nexus_answer(call), result);
		cx_nexus_end(call);
	}
}

int cx_nexus_run(struct cx_nexus_call *call, struct cx_err *err)
{
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec spec = { 0 };
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	const struct language *language = find_language(call->rpc.p.language);
	struct cx_session *session = NULL;

	if (language == NULL)
		return cx_refuse(err, CX_INVALID,
				 "Language '%.64s' not supported. Supported: python, javascript, "
				 "js, bash, sh",
				 call->rpc.p.language);
	if (cx_nexus_named(call, &named, err) < 0 ||
	    make_spec(&call->rpc.p, language, &spec, err) < 0 ||
	    cx_access_session(call->req, call->rpc.p.sandbox_id, &session, err) < 0)
		return -err->errnum;
	return cx_run_start(call->req, session, &spec, NULL, on_ended, call, err);
}
