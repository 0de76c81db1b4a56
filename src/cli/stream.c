/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stream.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/jsonload.h"
#include "base/loop.h"
#include "cli/cli.h"
#include "cli/frame.h"
#include "cli/term.h"

enum {
	GRACE_MS = 5000,       /* between SIGTERM and SIGKILL, and between SIGKILL and giving up */
	LOST_OUTPUT_MS = 1000, /* between SIGPIPE and SIGKILL when nobody reads our output */
	PIPE_PIECE = 4096,     /* a pipe that polls as writable takes so much without blocking */
	IN_MAX = 2 * (CX_FRAME_HEADER + CX_FRAME_DATA_MAX),
};

struct state {
	struct cx_stream *s;
	uint8_t *in;	/* IN_MAX bytes, from the server */
	uint8_t *input; /* CX_FRAME_DATA_MAX bytes, on their way to it */
	size_t begin, end;
	struct cx_buf out;   /* to the server: at most one frame of stdin, and small ones */
	struct cx_frame now; /* output that is being written */
	size_t now_done;
	int now_fd; /* -EBADF: nothing is being written */
	bool in_ended, killed;
	int signo;	      /* the last signal passed on */
	uint64_t deadline_ms; /* when patience ends; 0: none */
	int status;	      /* -1: the command still runs */
};

/* ---- signals -------------------------------------------------------------------------------- */

static int escalate(struct state *st, struct cx_err *err)
{
	if (st->killed) {
		st->status = CX_EXIT_SIGNAL + st->signo;
		return 0;
	}
	st->killed = true;
	st->deadline_ms = cx_now_ms() + GRACE_MS;
	return cx_frame_put_signal(&st->out, SIGKILL, err);
}

static int send_window(struct state *st, struct cx_err *err)
{
	uint16_t rows, cols;

	cx_term_size(st->s->out, &rows, &cols);
	return cx_frame_put_window(&st->out, rows, cols, err);
}

static int pass_on(struct state *st, int signo, struct cx_err *err)
{
	if (st->signo != 0)
		return escalate(st, err);
	st->signo = signo;
	if (st->s->grace && (st->signo == SIGTERM || st->signo == SIGHUP))
		st->deadline_ms = cx_now_ms() + GRACE_MS;
	return cx_frame_put_signal(&st->out, signo, err);
}

static int on_signal(struct state *st, struct cx_err *err)
{
	struct signalfd_siginfo info;

	if (read(st->s->signals, &info, sizeof info) != sizeof info)
		return 0;
	if (info.ssi_signo == SIGWINCH)
		return st->s->tty ? send_window(st, err) : 0;
	return pass_on(st, (int)info.ssi_signo, err);
}

/* ---- from the server ------------------------------------------------------------------------ */

/* True when a write of PIPE_PIECE bytes will not block, also if fd itself may. */
static bool takes_more(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}

/* Nobody reads our output: the command learns it as it would in a pipe here. */
static int lose_output(struct state *st, struct cx_err *err)
{
	st->now_fd = -EBADF;
	if (st->signo == 0) {
		st->signo = SIGPIPE;
		st->deadline_ms = cx_now_ms() + LOST_OUTPUT_MS;
		return cx_frame_put_signal(&st->out, SIGPIPE, err);
	}
	return 0;
}

static int write_output(struct state *st, struct cx_err *err)
{
	while (st->now_done < st->now.len) {
		size_t left = st->now.len - st->now_done;
		ssize_t n;

		if (!takes_more(st->now_fd))
			return 0;
		n = write(st->now_fd, st->now.data + st->now_done,
			  left < PIPE_PIECE ? left : PIPE_PIECE);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && (errno == EPIPE || errno == EIO))
			return lose_output(st, err);
		if (n < 0)
			return cx_fail(err, errno, "write the command's output");
		st->now_done += (size_t)n;
	}
	st->now_fd = -EBADF;
	return 0;
}

/* The command's status stands: it could do nothing about it. */
static void warn_of_file(json_t *exited)
{
	const char *why = json_string_value(json_object_get(exited, "output_file_error"));

	if (why == NULL)
		return;
	(void)fputs("caisson: the output is not in its file: ", stderr);
	cx_cli_print_word(why, stderr);
	(void)fputc('\n', stderr);
}

int cx_stream_status(json_t *exited, struct cx_err *err)
{
	json_t *signal = json_object_get(exited, "signal");
	json_t *code = json_object_get(exited, "exit_code");
	json_t *reason = json_object_get(exited, "reason");
	const char *detail = json_string_value(json_object_get(exited, "detail"));

	warn_of_file(exited);
	if (json_is_true(json_object_get(exited, "timed_out")))
		return CX_EXIT_TIMEOUT;
	if (json_is_integer(signal) && json_integer_value(signal) > 0)
		return CX_EXIT_SIGNAL + (int)(json_integer_value(signal) & 127);
	if (json_is_string(reason) && json_is_null(code))
		return cx_refuse(err, CX_UNAVAILABLE, "%s, nobody saw the command's end: %s",
				 json_string_value(reason),
				 detail != NULL ? detail : "the server says no more");
	if (!json_is_integer(code)) /* never a success by accident */
		return cx_refuse(err, CX_INTERNAL, "the server did not say how the command ended");
	return (int)(json_integer_value(code) & 255);
}

static int take_json(struct state *st, const struct cx_frame *f, struct cx_err *err)
{
	CX_AUTO(json_decrefp)
	json_t *json = cx_json_load((const char *)f->data, f->len, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(json))
		return cx_refuse(err, CX_INTERNAL, "the stream's last frame is not a JSON object");
	if (f->channel == CX_CHANNEL_ERROR)
		return cx_cli_error_of(json, 0, err);
	st->status = cx_stream_status(json, err);
	return st->status < 0 ? -err->errnum : 0;
}

static int take_frame(struct state *st, const struct cx_frame *f, struct cx_err *err)
{
	switch (f->channel) {
	case CX_CHANNEL_STDOUT:
	case CX_CHANNEL_STDERR:
		st->now = *f;
		st->now_done = 0;
		st->now_fd = f->channel == CX_CHANNEL_STDOUT ? st->s->out : st->s->err;
		return write_output(st, err);
	case CX_CHANNEL_STARTED:
		return 0;
	case CX_CHANNEL_EXITED:
	case CX_CHANNEL_ERROR:
		return take_json(st, f, err);
	default:
		return cx_refuse(err, CX_INTERNAL, "the server sent a frame of unknown channel %u",
				 f->channel);
	}
}

/* Handles whole frames until one has to wait for our reader. */
static int take_frames(struct state *st, struct cx_err *err)
{
	while (st->status < 0 && st->now_fd < 0) {
		struct cx_frame f;
		int n = cx_frame_peek(st->in + st->begin, st->end - st->begin, &f, err);

		if (n <= 0)
			return n;
		st->begin += (size_t)n;
		if (take_frame(st, &f, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int receive(struct state *st, struct cx_err *err)
{
	ssize_t n;

	/* Only while no output waits: its bytes lie in the part that is moved over. */
	memmove(st->in, st->in + st->begin, st->end - st->begin);
	st->end -= st->begin;
	st->begin = 0;
	n = recv(st->s->sock, st->in + st->end, (size_t)IN_MAX - st->end, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return cx_fail(err, errno, "read the stream");
	if (n <= 0)
		return cx_refuse(err, CX_UNAVAILABLE,
				 "the server closed the stream before the command had ended");
	st->end += (size_t)n;
	return 0;
}

/* ---- to the server -------------------------------------------------------------------------- */

static int read_input(struct state *st, struct cx_err *err)
{
	ssize_t n = read(st->s->in, st->input, CX_FRAME_DATA_MAX);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) { /* a terminal that hung up (EIO) is an end of file as well */
		st->in_ended = true;
		n = 0;
	}
	return cx_frame_put(&st->out, CX_CHANNEL_STDIN, st->input, (uint32_t)n, err);
}

static int transmit(struct state *st, struct cx_err *err)
{
	ssize_t n = send(st->s->sock, st->out.p, st->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		cx_buf_drop_front(&st->out, (size_t)n);
	else if (errno == EPIPE || errno == ECONNRESET)
		st->out.len = 0; /* its last frames may still be there to be read */
	else if (errno != EAGAIN && errno != EINTR)
		return cx_fail(err, errno, "send to the stream");
	return 0;
}

/* ---- together ------------------------------------------------------------------------------- */

enum { SOCK, IN, OUT, SIGNALS, NFDS };

static int patience(const struct state *st)
{
	uint64_t now = cx_now_ms();

	if (st->deadline_ms == 0)
		return -1;
	return st->deadline_ms > now ? (int)(st->deadline_ms - now) : 0;
}

static int wait_and_move(struct state *st, struct cx_err *err)
{
	const bool writing = st->now_fd >= 0, reading = !st->in_ended && st->out.len == 0;
	struct pollfd fds[NFDS] = {
		[SOCK] = { .fd = st->s->sock,
			   .events = (short)((writing ? 0 : POLLIN) |
					     (st->out.len > 0 ? POLLOUT : 0)) },
		[IN] = { .fd = reading ? st->s->in : -1, .events = POLLIN },
		[OUT] = { .fd = st->now_fd, .events = POLLOUT },
		[SIGNALS] = { .fd = st->s->signals, .events = POLLIN },
	};

	if (fds[SOCK].events == 0) /* a hang-up would be reported again and again */
		fds[SOCK].fd = -1;
	if (poll(fds, NFDS, patience(st)) < 0)
		return errno == EINTR ? 0 : cx_fail(err, errno, "poll");
	if (patience(st) == 0 && escalate(st, err) < 0)
		return -err->errnum;
	if (fds[SIGNALS].revents != 0 && on_signal(st, err) < 0)
		return -err->errnum;
	if (fds[OUT].revents != 0 && write_output(st, err) < 0)
		return -err->errnum;
	if (fds[IN].revents != 0 && read_input(st, err) < 0)
		return -err->errnum;
	if ((fds[SOCK].revents & POLLOUT) != 0 && transmit(st, err) < 0)
		return -err->errnum;
	if (!writing && (fds[SOCK].revents & ~POLLOUT) != 0 && receive(st, err) < 0)
		return -err->errnum;
	return take_frames(st, err);
}

static void state_free(struct state *st)
{
	cx_buf_free(&st->out);
}

int cx_stream_run(struct cx_stream *s, struct cx_err *err)
{
	/* Not on the stack, each page of which is touched when it is taken. */
	cx_autofree uint8_t *in = malloc(IN_MAX + CX_FRAME_DATA_MAX);
	CX_AUTO(state_free)
	struct state st = { .s = s, .in = in, .status = -1, .now_fd = -EBADF };

	st.out.max = 4 * CX_FRAME_DATA_MAX;
	if (in == NULL)
		return cx_fail(err, ENOMEM, "stream");
	st.input = in + IN_MAX;
	st.in_ended = s->in < 0;
	if (s->first.len > IN_MAX)
		return cx_refuse(err, CX_INTERNAL, "too much came with the handshake");
	if (s->first.len > 0)
		memcpy(in, s->first.p, s->first.len);
	st.end = s->first.len;
	if (st.in_ended && cx_frame_put(&st.out, CX_CHANNEL_STDIN, NULL, 0, err) < 0)
		return -err->errnum;
	if (s->signo != 0 && pass_on(&st, s->signo, err) < 0)
		return -err->errnum;
	if (take_frames(&st, err) < 0)
		return -err->errnum;
	while (st.status < 0)
		if (wait_and_move(&st, err) < 0)
			return -err->errnum;
	return st.status;
}
