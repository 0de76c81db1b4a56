/* SPDX-License-Identifier: Apache-2.0 */
#include "api/run.h"

#include <signal.h>
#include <sys/epoll.h>

#include "base/log.h"

enum {
	CHUNK = 65536,
	CHUNKS_PER_TURN = 4, /* then others have their turn */
	CHUNKS_AT_END = 16,  /* a pipe holds less; a child left behind may go on writing */
};

struct run;

struct output {
	struct cx_source source;
	struct run *run;
	struct cx_buf kept, tail;
	uint64_t bytes; /* also of what was not kept */
};

struct run { /* freed when the answer is given and every source is gone */
	struct cx_gateway *gw;
	struct cx_request *req;
	cx_run_done *done;
	void *arg;
	struct cx_exec exec;
	struct output out[2];
	struct cx_source in;
	struct cx_buf input;
	uint64_t output_max; /* of both streams; 0: none */
	struct cx_outcopy *copy;
	bool is_behind;		 /* the copy is: what there is to read waits */
	bool has_ended, has_why; /* as follows, to be told when the copy is over */
	struct cx_result end;
	struct cx_err why;
	uint32_t pid;
	unsigned holders;
};

/* ---- memory --------------------------------------------------------------------------------- */

static void release(struct run *run)
{
	if (--run->holders > 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		run->gw->output_bytes -= run->out[i].kept.len + run->out[i].tail.len;
		cx_buf_free(&run->out[i].kept);
		cx_buf_free(&run->out[i].tail);
	}
	cx_buf_free(&run->input);
	cx_outcopy_free(run->copy);
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

static bool add(struct cx_gateway *gw, struct cx_buf *to, const char *p, size_t len)
{
	struct cx_err err;

	if (gw->output_bytes + len > CX_OUTPUT_BYTES_MAX || cx_buf_add(to, p, len, &err) < 0)
		return false;
	gw->output_bytes += len;
	return true;
}

/* Bytes in front go when there are twice as many as are told. */
static void keep_last(struct output *out, const char *p, size_t len)
{
	struct cx_gateway *gw = out->run->gw;
	size_t old = out->tail.len < CX_RUN_TAIL_MAX ? 0 : out->tail.len - CX_RUN_TAIL_MAX;

	if (out->tail.len + len > out->tail.max || gw->output_bytes + len > CX_OUTPUT_BYTES_MAX) {
		cx_buf_drop_front(&out->tail, old);
		gw->output_bytes -= old;
	}
	if (!add(gw, &out->tail, p, len)) { /* what comes now would not be the last */
		gw->output_bytes -= out->tail.len;
		out->tail.len = 0;
	}
}

static void keep(struct output *out, const char *p, size_t len)
{
	size_t room = CX_RUN_KEPT_MAX - out->kept.len;
	size_t n = len < room ? len : room;

	if (out->bytes > out->kept.len) /* a gap is not closed later */
		n = 0;
	out->bytes += len;
	if (n > 0 && !add(out->run->gw, &out->kept, p, n))
		n = 0;
	if (n < len)
		keep_last(out, p + n, len - n);
}

static void bound_output(struct run *run)
{
	struct cx_err ended; /* then there is nothing to end */

	if (run->output_max > 0 && run->out[0].bytes + run->out[1].bytes > run->output_max)
		(void)!cx_exec_end(&run->exec, CX_REASON_OUTPUT_LIMIT, &ended);
}

static void read_output(struct output *out, unsigned chunks)
{
	CX_UNINITIALIZED char chunk[CHUNK];

	for (unsigned i = 0; i < chunks && !out->source.dead; i++) {
		ssize_t n = read(out->source.fd, chunk, sizeof chunk);

		if (n > 0) {
			cx_outcopy_add(out->run->copy, chunk, (size_t)n);
			keep(out, chunk, (size_t)n);
			bound_output(out->run);
		} else if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		else
			cx_loop_drop(out->run->gw->loop, &out->source);
	}
}

/* Hang-ups cannot be masked, but are told once only by a source that is at rest. */
static void rest(struct run *run, bool on)
{
	struct cx_err err;

	if (run->is_behind == on)
		return;
	run->is_behind = on;
	for (unsigned i = 0; i < 2; i++) {
		struct cx_source *source = &run->out[i].source;

		if (source->added && !source->dead &&
		    cx_loop_change(run->gw->loop, source, on ? EPOLLONESHOT : EPOLLIN, &err) < 0)
			cx_log_err(CX_LOG_ERROR, &err, "output of a command", NULL);
	}
}

static void output_ready(struct cx_source *source, uint32_t events)
{
	struct output *out = cx_container_of(source, struct output, source);

	(void)events;
	if (!out->run->is_behind) /* else it is a hang-up, which is told once */
		read_output(out, CHUNKS_PER_TURN);
	if (!cx_outcopy_has_room(out->run->copy))
		rest(out->run, true);
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
					.kept.max = CX_RUN_KEPT_MAX,
					.tail.max = 2 * CX_RUN_TAIL_MAX,
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

static void leave_open(struct run *run)
{
	for (unsigned i = 0; i < 2; i++)
		if (run->out[i].source.added && !run->out[i].source.dead)
			cx_leftover_keep(&run->gw->leftovers, run->gw->loop, run->out[i].source.fd);
}

/* ---- its life ------------------------------------------------------------------------------- */

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	cx_container_of(exec, struct run, exec)->pid = pid;
}

static struct cx_run_output told(const struct output *out)
{
	size_t n = out->tail.len < CX_RUN_TAIL_MAX ? out->tail.len : CX_RUN_TAIL_MAX;

	return (struct cx_run_output){ .p = out->kept.p,
				       .len = out->kept.len,
				       .tail = n > 0 ? out->tail.p + out->tail.len - n : NULL,
				       .tail_len = n,
				       .bytes = out->bytes };
}

static void tell(struct run *run, const struct cx_result *end, const struct cx_err *err)
{
	struct cx_run_result result = { .end = end, .pid = run->pid, .copy = run->copy };

	result.out = told(&run->out[0]);
	result.err = told(&run->out[1]);
	run->req->gone = NULL;
	run->done(run->req, end != NULL ? &result : NULL, err, run->arg);
	release(run);
}

static void on_copy_moved(void *arg)
{
	struct run *run = arg;

	if (!run->has_ended)
		rest(run, false);
	else if (cx_outcopy_finish(run->copy))
		tell(run, &run->end, run->has_why ? &run->why : NULL);
}

/* Who has left is told nothing, but what he asked for comes to its end. */
static void on_gone_behind(struct cx_request *req)
{
	(void)req;
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	for (unsigned i = 0; i < 2; i++)
		if (run->out[i].source.added)
			read_output(&run->out[i], CHUNKS_AT_END);
	leave_open(run);
	close_streams(run);
	if (end == NULL || cx_outcopy_finish(run->copy)) {
		tell(run, end, err);
		return;
	}
	run->has_ended = true;
	run->end = *end;
	run->has_why = err != NULL;
	if (err != NULL)
		run->why = *err;
	run->req->gone = on_gone_behind;
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
int cx_run_start(struct cx_request *req, struct cx_session *session, struct cx_exec_spec *spec,
		 const char *id, cx_run_done *done, void *arg, struct cx_err *err)
{
	struct cx_pipes pipes;
	struct run *run = calloc(1, sizeof *run);

	if (run == NULL)
		return cx_fail(err, ENOMEM, "command");
	run->gw = req->gateway;
	run->req = req;
	run->done = done;
	run->arg = arg;
	run->holders = 1;
	run->output_max = spec->output_bytes;
	run->exec = (struct cx_exec){ .started = on_started, .ended = on_ended, .id = id };
	if (cx_outcopy_start(run->gw, session, spec, on_copy_moved, run, &run->copy, err) < 0 ||
	    cx_command_start(session, spec, &run->exec, &pipes, err) < 0) {
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
