/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/json.h"
#include "api/prime/handlers.h"
#include "api/run.h"

/* The first generation's way to run a command. */
enum {
	TIMEOUT_MS = 300 * 1000, /* of a body that names none, as the clients have it */
	ANSWER_MAX = 2 * 6 * CX_RUN_KEPT_MAX + 4096,
};

static int write_result(const struct cx_run_result *result, struct cx_buf *json, struct cx_err *err)
{
	struct cx_jsonw w = { .out = json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_bytes(&w, "stdout", result->out.p, result->out.len);
	cx_jsonw_bytes(&w, "stderr", result->err.p, result->err.len);
	cx_jsonw_int(&w, "exit_code", cx_command_exit_code(result->end));
	cx_command_write_used(&w, result->end);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

/* 408 is the word for a command that took too long; clients look no further. */
static void answer(struct cx_request *req, const struct cx_run_result *result,
		   const struct cx_err *err, void *arg)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_err failed;

	(void)arg;
	if (err == NULL && result->end->how == CX_EXITED_TIMEOUT) {
		(void)cx_refuse(&failed, CX_TIMEOUT, "the command took longer than its timeout");
		cx_request_fail_as(req, 408, &failed);
		return;
	}
	if (err == NULL && write_result(result, &json, &failed) < 0)
		err = &failed;
	if (err == NULL) {
		cx_request_answer(req, 200, &json);
		return;
	}
	cx_buf_free(&json);
	cx_request_fail_as(req, cx_command_status(err), err);
}

/* The sandbox's id comes twice; a body meant for another one is not run here. */
static int check_target(const struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *id = req->param;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "sandbox_id", CX_SANDBOX_ID_MAX, &id, err) < 0)
		return -err->errnum;
	if (strcmp(id, req->param) != 0)
		return cx_refuse(err, CX_INVALID, "'sandbox_id' is another one than the path has");
	if (cx_json_type(doc, "command") != CX_JSON_TEXT)
		return cx_refuse(err, CX_INVALID, "'command' must be a text for the shell");
	return 0;
}

static int run(struct cx_request *req, struct cx_session *session, struct cx_err *err)
{
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec spec = { 0 };

	if (check_target(req, err) < 0 ||
	    cx_exec_spec_parse(req->body.p, req->body.len, &spec, err) < 0)
		return -err->errnum;
	if ((spec.flags & CX_EXEC_TTY) != 0)
		return cx_refuse(err, CX_INVALID, "'tty' is not offered here");
	if (spec.output_file != NULL && spec.output_file[0] != '\0')
		return cx_refuse(err, CX_INVALID, "'output_file' is not offered here");
	if (spec.timeout_ms == 0)
		spec.timeout_ms = TIMEOUT_MS;
	return cx_run_start(req, session, &spec, NULL, answer, NULL, err);
}

void cx_prime_exec(struct cx_request *req)
{
	struct cx_session *session;
	struct cx_err err;

	if (cx_access_session(req, req->param, &session, &err) < 0)
		cx_request_fail(req, &err);
	else if (run(req, session, &err) < 0)
		cx_request_fail_as(req, cx_command_status(&err), &err);
}
