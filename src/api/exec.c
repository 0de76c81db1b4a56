/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/access.h"
#include "api/command.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "base/log.h"

/*
 * A command with one answer: its output is kept up to a bound while it runs, the rest is read and
 * counted, so that it never waits for us.
 */
enum {
	KEPT_MAX = 10 << 20,	  /* bytes of each stream */
	ALL_KEPT_MAX = 512 << 20, /* bytes of all commands together */
	CHUNK = 65536,
	CHUNKS_PER_TURN = 4, /* then others have their turn */
	CHUNKS_AT_END = 16,  /* a pipe holds less; a child left behind may go on writing */
	ANSWER_MAX = 2 * 6 * KEPT_MAX + 65536, /* one byte can become \u001b */
};

struct run;

struct output {
	struct cx_source source;
	struct run *run;
	struct cx_buf kept;
	uint64_t bytes; /* also of what was not kept */
};

struct run { /* freed when the answer is given and every source is gone */
	struct cx_gateway *gw;
	struct cx_request *req;
	struct cx_exec exec;
	struct output out[2];
	struct cx_source in;
	struct cx_buf input;
	uint32_t pid;
	unsigned holders;
};

/* ---- shared with stream.c ------------------------------------------------------------------- */

void cx_command_write_end(struct cx_jsonw *w, const struct cx_msg_exited *end)
{
	int64_t code = end->status;

	if (end->how == CX_EXITED_SIGNAL)
		code = CX_EXIT_SIGNALLED + (int64_t)end->status;
	if (end->how == CX_EXITED_TIMEOUT)
		code = CX_EXIT_TIMED_OUT;
	cx_jsonw_int(w, "exit_code", code);
	if (end->how == CX_EXITED_SIGNAL)
		cx_jsonw_int(w, "signal", end->status);
	else
		cx_jsonw_null(w, "signal");
	cx_jsonw_bool(w, "timed_out", end->how == CX_EXITED_TIMEOUT);
	cx_jsonw_int(w, "user_us", (int64_t)(end->user_us & INT64_MAX));
	cx_jsonw_int(w, "system_us", (int64_t)(end->system_us & INT64_MAX));
	cx_jsonw_int(w, "wall_us", (int64_t)(end->wall_us & INT64_MAX));
	cx_jsonw_int(w, "max_rss_bytes", (int64_t)(end->max_rss_bytes & INT64_MAX));
}

static struct cx_str strv_of(const struct cx_buf *buf)
{
	return (struct cx_str){ .p = buf->p, .len = (uint32_t)buf->len };
}

int cx_command_start(struct cx_session *session, const struct cx_exec_spec *spec,
		     struct cx_exec *exec, struct cx_pipes *pipes, struct cx_err *err)
{
	struct cx_msg_exec plan = { .flags = spec->flags,
				    .argv = strv_of(&spec->argv),
				    .env = strv_of(&spec->env),
				    .cwd = cx_str_of(spec->cwd),
				    .user = cx_str_of(spec->user),
				    .timeout_ms = spec->timeout_ms,
				    .rows = spec->rows,
				    .cols = spec->cols };
	bool tty = (spec->flags & CX_EXEC_TTY) != 0;

	if ((tty ? cx_pipes_open_tty(pipes, err) : cx_pipes_open(pipes, err)) < 0)
		return cx_wrap(err, "streams of the command");
	if (cx_session_exec(session, &plan, pipes, exec, err) < 0) {
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

/* ---- memory --------------------------------------------------------------------------------- */

static void release(struct run *run)
{
	if (--run->holders > 0)
		return;
	run->gw->output_bytes -= run->out[0].kept.len + run->out[1].kept.len;
	cx_buf_free(&run->out[0].kept);
	cx_buf_free(&run->out[1].kept);
	cx_buf_free(&run->input);
	free(run);
}

static void output_closed(struct cx_source *source)
{
	release(cx_container_of(source, struct output, source)->run);
}

static void input_closed(struct cx_source *source)
{
	release(cx_container_of(source, struct run, in));
}

/* ---- streams -------------------------------------------------------------------------------- */

static void keep(struct output *out, const char *p, size_t len)
{
	struct cx_gateway *gw = out->run->gw;
	size_t room = KEPT_MAX - out->kept.len;
	size_t n = len < room ? len : room;
	struct cx_err err;

	out->bytes += len;
	if (out->bytes - len > out->kept.len) /* a gap is not closed later */
		return;
	if (gw->output_bytes + n > ALL_KEPT_MAX || cx_buf_add(&out->kept, p, n, &err) < 0)
		return;
	gw->output_bytes += n;
}

static void read_output(struct output *out, unsigned chunks)
{
	CX_UNINITIALIZED char chunk[CHUNK];

	for (unsigned i = 0; i < chunks && !out->source.dead; i++) {
		ssize_t n = read(out->source.fd, chunk, sizeof chunk);

		if (n > 0)
			keep(out, chunk, (size_t)n);
		else if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		else
			cx_loop_drop(out->run->gw->loop, &out->source);
	}
}

static void output_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	read_output(cx_container_of(source, struct output, source), CHUNKS_PER_TURN);
}

static void input_ready(struct cx_source *source, uint32_t events)
{
	struct run *run = cx_container_of(source, struct run, in);
	ssize_t n = write(source->fd, run->input.p, run->input.len);

	(void)events;
	if (n > 0)
		cx_buf_drop_front(&run->input, (size_t)n);
	if (run->input.len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		cx_loop_drop(run->gw->loop, source);
}

static int add_source(struct run *run, struct cx_source *source, int *fd, uint32_t events,
		      struct cx_err *err)
{
	source->fd = *fd;
	if (cx_loop_add(run->gw->loop, source, events, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(fd);
	run->holders++;
	return 0;
}

static int open_streams(struct run *run, struct cx_pipes *pipes, struct cx_err *err)
{
	for (unsigned i = 0; i < 2; i++) {
		struct output *out = &run->out[i];

		*out = (struct output){ .run = run,
					.kept.max = KEPT_MAX,
					.source.ready = output_ready,
					.source.destroy = output_closed };
		if (add_source(run, &out->source, &pipes->ours[1 + i], EPOLLIN, err) < 0)
			return -err->errnum;
	}
	if (run->input.len == 0)
		return 0;
	run->in = (struct cx_source){ .ready = input_ready, .destroy = input_closed };
	return add_source(run, &run->in, &pipes->ours[0], EPOLLOUT, err);
}

static void close_streams(struct run *run)
{
	for (unsigned i = 0; i < 2; i++)
		cx_loop_drop(run->gw->loop, &run->out[i].source);
	cx_loop_drop(run->gw->loop, &run->in);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void write_output(struct cx_jsonw *w, const char *name, const struct output *out)
{
	cx_jsonw_bytes(w, name, out->kept.p, out->kept.len);
}

static int write_answer(const struct run *run, const struct cx_msg_exited *end, struct cx_buf *json,
			struct cx_err *err)
{
	struct cx_jsonw w = { .out = json };

	cx_jsonw_object(&w, NULL);
	write_output(&w, "stdout", &run->out[0]);
	write_output(&w, "stderr", &run->out[1]);
	cx_command_write_end(&w, end);
	cx_jsonw_int(&w, "stdout_bytes", (int64_t)run->out[0].bytes);
	cx_jsonw_int(&w, "stderr_bytes", (int64_t)run->out[1].bytes);
	cx_jsonw_bool(&w, "stdout_truncated", run->out[0].bytes > run->out[0].kept.len);
	cx_jsonw_bool(&w, "stderr_truncated", run->out[1].bytes > run->out[1].kept.len);
	cx_jsonw_int(&w, "pid", run->pid);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

static void answer(struct run *run, const struct cx_msg_exited *end, const struct cx_err *err)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_err failed;

	if (err == NULL && write_answer(run, end, &json, &failed) < 0)
		err = &failed;
	if (err == NULL) {
		cx_request_answer(run->req, 200, &json);
		return;
	}
	cx_buf_free(&json);
	cx_request_fail_as(run->req, cx_command_status(err), err);
}

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	cx_container_of(exec, struct run, exec)->pid = pid;
}

static void on_ended(struct cx_exec *exec, const struct cx_msg_exited *end,
		     const struct cx_err *err)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	for (unsigned i = 0; i < 2; i++)
		if (run->out[i].source.added)
			read_output(&run->out[i], CHUNKS_AT_END);
	run->req->gone = NULL;
	answer(run, end, err);
	close_streams(run);
	release(run);
}

static void on_gone(struct cx_request *req)
{
	struct run *run = req->owner;
	struct cx_err err;

	if (cx_exec_signal(&run->exec, SIGKILL, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not killed", NULL);
}

/* With its exec asked for, a run that cannot read has to be killed and is not answered from here.
 */
static int start_run(struct cx_request *req, struct cx_session *session, struct cx_exec_spec *spec,
		     struct cx_err *err)
{
	struct cx_pipes pipes;
	struct run *run = calloc(1, sizeof *run);

	if (run == NULL)
		return cx_fail(err, ENOMEM, "command");
	run->gw = req->gateway;
	run->req = req;
	run->holders = 1;
	run->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	if (cx_command_start(session, spec, &run->exec, &pipes, err) < 0) {
		release(run);
		return -err->errnum;
	}
	run->input = spec->input;
	spec->input = (struct cx_buf){ 0 };
	if (open_streams(run, &pipes, err) < 0) {
		struct cx_err ignored;

		(void)!cx_exec_signal(&run->exec, SIGKILL, NULL, &ignored);
		cx_exec_forget(&run->exec);
		close_streams(run);
		cx_pipes_close(&pipes);
		release(run);
		return -err->errnum;
	}
	cx_pipes_close(&pipes); /* stdin, when there is nothing to write */
	req->owner = run;
	req->gone = on_gone;
	return 0;
}

static int start(struct cx_request *req, struct cx_exec_spec *spec, bool *located,
		 struct cx_err *err)
{
	struct cx_session *session;

	if (cx_access_session(req, req->param, &session, err) < 0)
		return -err->errnum;
	*located = true;
	if (cx_exec_spec_parse(req->body.p, req->body.len, spec, err) < 0)
		return -err->errnum;
	if (cx_request_wants_upgrade(req, "caisson-exec/1"))
		return cx_stream_start(req, session, spec, err);
	if ((spec->flags & CX_EXEC_TTY) != 0)
		return cx_refuse(err, CX_INVALID,
				 "'tty' needs a stream: send 'Upgrade: caisson-exec/1'");
	return start_run(req, session, spec, err);
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
