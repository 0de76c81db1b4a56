/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"
#include "api/command.h"
#include "api/errors.h"
#include "api/execrow.h"
#include "api/handlers.h"
#include "api/run.h"
#include "base/log.h"

enum {
	ANSWER_MAX = 2 * 6 * (CX_RUN_KEPT_MAX + CX_RUN_TAIL_MAX) + 65536
}; /* one byte can become \u001b */

/* ---- shared with stream.c ------------------------------------------------------------------- */

int cx_command_exit_code(const struct cx_result *end)
{
	if (end->how == CX_EXITED_TIMEOUT)
		return CX_EXIT_TIMED_OUT;
	return (int)end->status + (end->how == CX_EXITED_SIGNAL ? CX_EXIT_SIGNALLED : 0);
}

static void write_figure(struct cx_jsonw *w, const char *name, bool is_known, uint64_t value)
{
	if (is_known)
		cx_jsonw_int(w, name, (int64_t)(value & INT64_MAX));
	else
		cx_jsonw_null(w, name);
}

void cx_command_write_end(struct cx_jsonw *w, const struct cx_result *end, const struct cx_err *why)
{
	char text[sizeof why->msg + 128];

	write_figure(w, "exit_code", !end->unseen, (uint64_t)cx_command_exit_code(end));
	write_figure(w, "signal", !end->unseen && end->how == CX_EXITED_SIGNAL, end->status);
	cx_jsonw_bool(w, "timed_out", end->how == CX_EXITED_TIMEOUT);
	cx_jsonw_text(w, "detail", why != NULL ? cx_err_render(why, text, sizeof text) : NULL);
	cx_command_write_used(w, end);
}

void cx_command_write_used(struct cx_jsonw *w, const struct cx_result *end)
{
	cx_jsonw_text(w, "exit_source", end->exit_source);
	cx_jsonw_text(w, "reason", cx_reason_name(end->reason));
	cx_jsonw_int(w, "wall_us", (int64_t)end->wall_us);
	write_figure(w, "user_us", end->used.has_cpu, end->used.user_us);
	write_figure(w, "system_us", end->used.has_cpu, end->used.system_us);
	write_figure(w, "memory_peak_bytes", end->used.has_memory, end->used.memory_peak_bytes);
	write_figure(w, "memory_file_bytes", end->used.has_memory, end->used.memory_file_bytes);
	write_figure(w, "processes_peak", end->used.has_processes, end->used.processes_peak);
	write_figure(w, "throttled_us", end->used.has_throttled, end->used.throttled_us);
	write_figure(w, "cpu_wait_us", end->used.has_wait, end->used.wait_us);
	cx_jsonw_text(w, "source", end->source);
}

int cx_command_ask(struct cx_session *session, const struct cx_exec_spec *spec, const char *key,
		   struct cx_pipes *pipes, struct cx_exec *exec, struct cx_err *err)
{
	struct cx_msg_exec plan = { .flags = spec->flags,
				    .argv = cx_str_of_buf(&spec->argv),
				    .env = cx_str_of_buf(&spec->env),
				    .cwd = cx_str_of(spec->cwd),
				    .user = cx_str_of(spec->user),
				    .timeout_ms = spec->timeout_ms,
				    .rows = spec->rows,
				    .cols = spec->cols,
				    .file_bytes = spec->file_bytes,
				    .stack_bytes = spec->stack_bytes,
				    .open_files = spec->open_files,
				    .key = cx_str_of(key) };

	exec->limits = spec->limits;
	return cx_session_exec(session, &plan, pipes, exec, err);
}

int cx_command_start(struct cx_session *session, const struct cx_exec_spec *spec,
		     struct cx_exec *exec, struct cx_pipes *pipes, struct cx_err *err)
{
	bool tty = (spec->flags & CX_EXEC_TTY) != 0;

	if ((tty ? cx_pipes_open_tty(pipes, err) : cx_pipes_open(pipes, err)) < 0)
		return cx_wrap(err, "streams of the command");
	if (cx_command_ask(session, spec, "", pipes, exec, err) < 0) {
		cx_pipes_close(pipes);
		return -err->errnum;
	}
	return 0;
}

/* What does not exist or may not be is inside: 404 and 403 would speak of the sandbox itself. */
unsigned cx_command_status(const struct cx_err *err)
{
	if (err->kind == CX_NOT_FOUND || err->kind == CX_DENIED)
		return 400;
	return cx_error_status(err->kind);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void write_tail(struct cx_jsonw *w, const char *name, const struct cx_run_output *out)
{
	if (out->tail_len > 0)
		cx_jsonw_bytes(w, name, out->tail, out->tail_len);
	else
		cx_jsonw_null(w, name);
}

static void write_counts(struct cx_jsonw *w, const struct cx_run_result *result, const char *id)
{
	cx_jsonw_int(w, "stdout_bytes", (int64_t)result->out.bytes);
	cx_jsonw_int(w, "stderr_bytes", (int64_t)result->err.bytes);
	cx_jsonw_bool(w, "stdout_truncated", result->out.bytes > result->out.len);
	cx_jsonw_bool(w, "stderr_truncated", result->err.bytes > result->err.len);
	cx_jsonw_int(w, "pid", result->pid);
	cx_jsonw_text(w, "exec_id", id);
}

static int write_answer(const struct cx_run_result *result, const struct cx_err *why,
			const char *id, struct cx_buf *json, struct cx_err *err)
{
	struct cx_jsonw w = { .out = json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_bytes(&w, "stdout", result->out.p, result->out.len);
	cx_jsonw_bytes(&w, "stderr", result->err.p, result->err.len);
	write_tail(&w, "stdout_tail", &result->out);
	write_tail(&w, "stderr_tail", &result->err);
	cx_command_write_end(&w, result->end, why);
	cx_outcopy_write(&w, result->copy);
	write_counts(&w, result, id);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

static int keep_stream(struct cx_excerpt *excerpt, const struct cx_run_output *out,
		       struct cx_err *err)
{
	if (cx_excerpt_add(excerpt, 0, out->p, out->len, err) < 0)
		return -err->errnum;
	if (out->tail_len > 0 && out->len >= CX_EXCERPT_HEAD)
		return cx_excerpt_add(excerpt, out->bytes - out->tail_len, out->tail, out->tail_len,
				      err);
	if (out->bytes > out->len) /* there was no memory for what is newest */
		excerpt->kept.len = out->len < CX_EXCERPT_HEAD ? out->len : CX_EXCERPT_HEAD;
	excerpt->bytes = out->bytes;
	return 0;
}

/* So that it can be asked for again. If that fails the client has its answer all the same. */
static void keep(struct cx_gateway *gw, struct cx_exec_row *row, const struct cx_run_result *result,
		 const struct cx_err *why)
{
	struct cx_err err;

	if (keep_stream(&row->out, &result->out, &err) < 0 ||
	    keep_stream(&row->err, &result->err, &err) < 0 ||
	    cx_exec_row_end(row, result->end, result->pid, why, result->copy, &err) < 0 ||
	    cx_exec_row_put_later(gw, row, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "a command's end is not recorded", NULL);
}

static void free_row(struct cx_exec_row *row)
{
	cx_exec_row_clear(row);
	free(row);
}

static void answer(struct cx_request *req, const struct cx_run_result *result,
		   const struct cx_err *err, void *arg)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_exec_row *row = arg;
	struct cx_err failed;

	if (result != NULL)
		keep(req->gateway, row, result, err);
	if (result != NULL && write_answer(result, err, row->id, &json, &failed) < 0) {
		result = NULL;
		err = &failed;
	}
	free_row(row);
	if (result != NULL) {
		cx_request_answer(req, 200, &json);
		return;
	}
	cx_buf_free(&json);
	cx_request_fail_as(req, cx_command_status(err), err);
}

static int run(struct cx_request *req, const char *sandbox, struct cx_session *session,
	       struct cx_exec_spec *spec, struct cx_err *err)
{
	struct cx_exec_row *row = calloc(1, sizeof *row);

	if (row == NULL)
		return cx_fail(err, ENOMEM, "command");
	if (cx_exec_row_begin(row, sandbox, spec, err) == 0 &&
	    cx_run_start(req, session, spec, row->id, answer, row, err) == 0)
		return 0;
	free_row(row);
	return -err->errnum;
}

static int start(struct cx_request *req, struct cx_exec_spec *spec, bool *located,
		 struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_session *session;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	*located = true;
	if (cx_exec_spec_parse(req->body.p, req->body.len, spec, err) < 0)
		return -err->errnum;
	if (cx_request_wants_upgrade(req, "caisson-exec/1") && cx_exec_spec_stays(spec))
		return cx_refuse(err, CX_INVALID, "a stream takes no 'id' and no 'detach'");
	if (cx_exec_spec_stays(spec))
		return cx_exec_start_detached(req, &named, spec, err);
	session = cx_named_session(&named, err);
	if (session == NULL)
		return -err->errnum;
	if (cx_request_wants_upgrade(req, "caisson-exec/1"))
		return cx_stream_start(req, session, spec, err);
	if ((spec->flags & CX_EXEC_TTY) != 0)
		return cx_refuse(err, CX_INVALID,
				 "'tty' needs a stream: send 'Upgrade: caisson-exec/1'");
	return run(req, named.row->id, session, spec, err);
}

void cx_handle_exec(struct cx_request *req)
{
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec spec = { 0 };
	struct cx_err err;
	bool located = false;

	if (start(req, &spec, &located, &err) == 0)
		return;
	if (located)
		cx_request_fail_as(req, cx_command_status(&err), &err);
	else
		cx_request_fail(req, &err);
}
