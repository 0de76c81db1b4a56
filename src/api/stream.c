/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "api/command.h"
#include "api/errors.h"
#include "api/frames.h"
#include "api/outcopy.h"
#include "base/log.h"

/*
 * A command as a stream of frames. What the client does not take is not read from the command, and
 * what the command does not take is not read from the client: nothing here grows with a slow side.
 */
enum {
	TO_CLIENT = 256 * 1024, /* bytes waiting; then the command waits */
	TO_COMMAND = 256 * 1024,
	FROM_CLIENT = CX_FRAME_HEADER + CX_FRAME_MAX,
	HANGUP_MS = 2000, /* between SIGHUP and SIGKILL for a client that went away */
	LINGER_MS = 3000, /* for the client to take the last frame and close */
};

struct stream;

struct lane { /* one descriptor of the stream */
	struct cx_source source;
	struct stream *stream;
	uint32_t armed; /* what epoll watches for */
	uint64_t left;	/* after the command's end: bytes still to pass on */
	uint64_t bytes; /* passed on so far */
};

enum state {
	RUNNING,
	DRAINING,  /* it has ended; what was in its pipes is still passed on */
	FINISHING, /* the last frame is queued */
	LINGERING, /* all is sent; the client closes first, or what it sent would make a reset */
	ABANDONED, /* the client is gone; the command is being ended */
};

struct stream { /* freed when the exec is over and every lane and the handle are gone */
	struct cx_gateway *gw;
	struct cx_exec exec;
	struct cx_upgrade *handle;
	struct lane client, in, out[2];
	struct cx_buf to_client, to_command, from_client;
	struct cx_buf last; /* the last frame, until there is room for it */
	struct cx_timer timer;
	enum state state;
	uint64_t output_max;	 /* of both streams; 0: none */
	struct cx_outcopy *copy; /* of all output; NULL: none */
	struct cx_result end;	 /* DRAINING: what the last frame says */
	struct cx_err why;
	bool has_end, has_why;
	bool input_over, tty;
	unsigned holders;
	char request_id[CX_REQUEST_ID_MAX + 1];
};

/* ---- memory and lanes ----------------------------------------------------------------------- */

static void release(struct stream *s)
{
	if (--s->holders > 0)
		return;
	cx_timer_clear(&s->timer);
	cx_buf_free(&s->to_client);
	cx_buf_free(&s->to_command);
	cx_buf_free(&s->from_client);
	cx_buf_free(&s->last);
	cx_outcopy_free(s->copy);
	free(s);
}

static void lane_closed(struct cx_source *source)
{
	release(cx_container_of(source, struct lane, source)->stream);
}

static bool is_open(const struct lane *lane)
{
	return lane->source.added && !lane->source.dead;
}

static void close_lane(struct lane *lane)
{
	if (is_open(lane))
		cx_loop_drop(lane->stream->gw->loop, &lane->source);
}

static int open_lane(struct stream *s, struct lane *lane, int *fd,
		     void (*ready)(struct cx_source *, uint32_t), struct cx_err *err)
{
	*lane = (struct lane){ .stream = s,
			       .armed = EPOLLONESHOT,
			       .source = { .fd = *fd, .ready = ready, .destroy = lane_closed } };
	if (cx_loop_add(s->gw->loop, &lane->source, EPOLLONESHOT, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(fd);
	s->holders++;
	return 0;
}

/*
 * Watches for want, or for nothing: hang-ups cannot be masked, but with EPOLLONESHOT they are told
 * once only, and a lane that is at rest costs nothing.
 */
static void arm(struct lane *lane, uint32_t want)
{
	struct cx_err err;

	want = want != 0 ? want : EPOLLONESHOT;
	if (!is_open(lane) || lane->armed == want)
		return;
	lane->armed = want;
	if (cx_loop_change(lane->stream->gw->loop, &lane->source, want, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "stream", NULL);
}

/* ---- the client's end, the command's end ---------------------------------------------------- */

static void close_client(struct stream *s)
{
	struct cx_upgrade *handle = s->handle;

	close_lane(&s->client);
	s->handle = NULL;
	if (handle != NULL)
		cx_upgrade_close(handle);
}

static void close_command(struct stream *s)
{
	close_lane(&s->in);
	close_lane(&s->out[0]);
	close_lane(&s->out[1]);
}

static void kill_command(struct cx_timer *timer)
{
	struct stream *s = cx_container_of(timer, struct stream, timer);
	struct cx_err err;

	if (cx_exec_pending(&s->exec) && cx_exec_signal(&s->exec, SIGKILL, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not killed", NULL);
}

static void abandon(struct stream *s)
{
	struct cx_err err;

	if (s->state == ABANDONED)
		return;
	s->state = ABANDONED;
	close_client(s);
	close_command(s);
	cx_timer_clear(&s->timer);
	if (!cx_exec_pending(&s->exec))
		return;
	s->timer.fire = kill_command;
	cx_timer_set(s->gw->loop, &s->timer, HANGUP_MS);
	if (cx_exec_signal(&s->exec, SIGHUP, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not hung up", NULL);
}

static void linger_over(struct cx_timer *timer)
{
	abandon(cx_container_of(timer, struct stream, timer));
}

static void linger(struct stream *s)
{
	s->state = LINGERING;
	(void)shutdown(s->client.source.fd, SHUT_WR);
	s->timer.fire = linger_over;
	cx_timer_set(s->gw->loop, &s->timer, LINGER_MS);
	arm(&s->client, EPOLLIN | EPOLLRDHUP);
}

/* ---- to the client -------------------------------------------------------------------------- */

static void queue_frame(struct stream *s, struct cx_buf *to, enum cx_frame_channel channel,
			struct cx_buf *json)
{
	struct cx_err err;

	if (cx_frame_add(to, channel, json->p, json->len, &err) < 0)
		abandon(s);
}

/* Reads at most one frame's worth, straight into its place. False: nothing more to get. */
/* Children of a command that has ended may go on writing. */
static void leave_lane(struct lane *out)
{
	struct cx_gateway *gw = out->stream->gw;

	if (is_open(out) && !out->stream->tty)
		cx_leftover_keep(&gw->leftovers, gw->loop, out->source.fd);
	close_lane(out);
}

static void bound_output(struct stream *s)
{
	struct cx_err ended; /* then there is nothing to end */

	if (s->output_max > 0 && s->out[0].bytes + s->out[1].bytes > s->output_max)
		(void)!cx_exec_end(&s->exec, CX_REASON_OUTPUT_LIMIT, &ended);
}

/* What the end has left is read whatever becomes of the file: it is bounded, and so is the wait. */
static bool copy_has_room(const struct stream *s)
{
	return s->state == DRAINING || cx_outcopy_has_room(s->copy);
}

static bool read_frame(struct stream *s, struct lane *out, enum cx_frame_channel channel)
{
	size_t most = out->left < CX_FRAME_MAX ? (size_t)out->left : CX_FRAME_MAX;
	struct cx_err err;
	uint8_t *place;
	ssize_t n;

	if (s->to_client.len + CX_FRAME_HEADER + most > TO_CLIENT || !is_open(out) ||
	    !copy_has_room(s))
		return false;
	place = (uint8_t *)cx_buf_reserve(&s->to_client, CX_FRAME_HEADER + most, &err);
	if (place == NULL)
		return false;
	n = most > 0 ? read(out->source.fd, place + CX_FRAME_HEADER, most) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (s->state == DRAINING) /* fewer than were counted: somebody inside read them */
			leave_lane(out);
		return false;
	}
	if (n <= 0) {
		leave_lane(out);
		return false;
	}
	cx_outcopy_add(s->copy, place + CX_FRAME_HEADER, (size_t)n);
	cx_frame_header(place, channel, (size_t)n);
	s->to_client.len += CX_FRAME_HEADER + (size_t)n;
	if (out->left != UINT64_MAX)
		out->left -= (uint64_t)n;
	out->bytes += (uint64_t)n;
	bound_output(s);
	return true;
}

static void write_client(struct stream *s)
{
	ssize_t n;

	if (s->to_client.len == 0 || !is_open(&s->client))
		return;
	n = send(s->client.source.fd, s->to_client.p, s->to_client.len,
		 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		cx_buf_drop_front(&s->to_client, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		abandon(s);
}

static int write_last(struct stream *s, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };

	if (!s->has_end) {
		if (cx_error_body(&s->why, s->request_id, &json, err) < 0)
			return -err->errnum;
		return cx_frame_add(&s->last, CX_FRAME_ERROR, json.p, json.len, err);
	}
	cx_jsonw_object(&w, NULL);
	cx_command_write_end(&w, &s->end, s->has_why ? &s->why : NULL);
	cx_outcopy_write(&w, s->copy);
	cx_jsonw_int(&w, "stdout_bytes", (int64_t)s->out[0].bytes);
	cx_jsonw_int(&w, "stderr_bytes", (int64_t)s->out[1].bytes);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	return cx_frame_add(&s->last, CX_FRAME_EXITED, json.p, json.len, err);
}

static void finish_output(struct stream *s)
{
	struct cx_err err;

	if (s->state == DRAINING && !is_open(&s->out[0]) && !is_open(&s->out[1]) &&
	    cx_outcopy_finish(s->copy)) {
		if (write_last(s, &err) < 0 ||
		    cx_buf_add(&s->to_client, s->last.p, s->last.len, &err) < 0) {
			abandon(s);
			return;
		}
		s->state = FINISHING;
		write_client(s);
	}
	if (s->state == FINISHING && s->to_client.len == 0 && is_open(&s->client))
		linger(s);
}

/* ---- from the client ------------------------------------------------------------------------ */

static void close_input(struct stream *s)
{
	if (s->tty && is_open(&s->in))
		(void)shutdown(s->in.source.fd, SHUT_WR);
	close_lane(&s->in);
}

static void write_command(struct stream *s)
{
	ssize_t n = 0;

	if (!is_open(&s->in))
		s->to_command.len = 0; /* nobody reads it any more */
	else if (s->to_command.len > 0)
		n = write(s->in.source.fd, s->to_command.p, s->to_command.len);
	if (n > 0)
		cx_buf_drop_front(&s->to_command, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		close_lane(&s->in);
	if (s->input_over && s->to_command.len == 0)
		close_input(s);
}

static int obey(struct stream *s, const struct cx_frame *frame, struct cx_err *err)
{
	struct cx_err ignored; /* a command that has just ended takes no signal: no fault */

	switch (frame->channel) {
	case CX_FRAME_STDIN:
		if (frame->len == 0)
			s->input_over = true;
		else if (!s->input_over)
			return cx_buf_add(&s->to_command, frame->p, frame->len, err);
		return 0;
	case CX_FRAME_SIGNAL:
		if (frame->p[0] == 0 || frame->p[0] > 64)
			return cx_refuse(err, CX_INVALID, "there is no signal %u", frame->p[0]);
		(void)!cx_exec_signal(&s->exec, frame->p[0], NULL, &ignored);
		return 0;
	case CX_FRAME_WINDOW:
		if (s->tty)
			(void)!cx_exec_resize(&s->exec, frame->p[0] | (uint32_t)frame->p[1] << 8,
					      frame->p[2] | (uint32_t)frame->p[3] << 8, NULL,
					      &ignored);
		return 0;
	case CX_FRAME_STDOUT:
	case CX_FRAME_STDERR:
	case CX_FRAME_STARTED:
	case CX_FRAME_EXITED:
	case CX_FRAME_ERROR:
		break;
	}
	return cx_refuse(err, CX_INVALID, "unexpected frame");
}

static bool has_room(const struct stream *s)
{
	return s->to_command.len + FROM_CLIENT <= TO_COMMAND;
}

static int obey_all(struct stream *s, struct cx_err *err)
{
	size_t done = 0;

	while (done < s->from_client.len && has_room(s) && s->state == RUNNING) {
		struct cx_frame frame;
		ssize_t n = cx_frame_read((const uint8_t *)s->from_client.p + done,
					  s->from_client.len - done, &frame, err);

		if (n < 0 || (n > 0 && obey(s, &frame, err) < 0))
			return -err->errnum;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	cx_buf_drop_front(&s->from_client, done);
	return 0;
}

/* Bytes that are no frames: the client is told, the command ends with it. */
static void refuse_client(struct stream *s, const struct cx_err *why)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 8192 };
	struct cx_err err;

	if (cx_error_body(why, s->request_id, &json, &err) == 0 &&
	    cx_frame_add(&s->to_client, CX_FRAME_ERROR, json.p, json.len, &err) == 0)
		write_client(s);
	abandon(s);
}

static void read_client(struct stream *s)
{
	struct cx_err err;
	char *place;
	ssize_t n;

	s->from_client.max = 2 * FROM_CLIENT;
	if (s->from_client.len >= FROM_CLIENT || !has_room(s))
		return;
	place = cx_buf_reserve(&s->from_client, FROM_CLIENT - s->from_client.len, &err);
	if (place == NULL) {
		abandon(s);
		return;
	}
	n = recv(s->client.source.fd, place, FROM_CLIENT - s->from_client.len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		abandon(s);
		return;
	}
	if (s->state != RUNNING) /* too late for anything but its end */
		return;
	s->from_client.len += (size_t)n;
	if (obey_all(s, &err) < 0)
		refuse_client(s, &err);
}

/* ---- the pump ------------------------------------------------------------------------------- */

static void set_interest(struct stream *s)
{
	bool room =
		s->to_client.len + CX_FRAME_HEADER + CX_FRAME_MAX <= TO_CLIENT && copy_has_room(s);
	uint32_t client = EPOLLRDHUP;

	if (s->to_client.len > 0)
		client |= EPOLLOUT;
	if (has_room(s) && s->from_client.len < FROM_CLIENT)
		client |= EPOLLIN;
	arm(&s->client, client);
	arm(&s->out[0], room ? EPOLLIN : 0);
	arm(&s->out[1], room ? EPOLLIN : 0);
	arm(&s->in, s->to_command.len > 0 ? EPOLLOUT : 0);
}

/* Moves what can be moved, once round; called after anything that may have changed that. */
static void pump(struct stream *s)
{
	struct cx_err err;

	if (s->state == ABANDONED || s->state == LINGERING)
		return;
	if (s->state == RUNNING && obey_all(s, &err) < 0) {
		refuse_client(s, &err);
		return;
	}
	write_command(s);
	(void)read_frame(s, &s->out[0], CX_FRAME_STDOUT);
	(void)read_frame(s, &s->out[1], CX_FRAME_STDERR);
	write_client(s);
	while (s->state == DRAINING && (read_frame(s, &s->out[0], CX_FRAME_STDOUT) ||
					read_frame(s, &s->out[1], CX_FRAME_STDERR)))
		write_client(s);
	finish_output(s);
	if (s->state != ABANDONED && s->state != LINGERING)
		set_interest(s);
}

static void on_copy_moved(void *arg)
{
	pump(arg);
}

static void lane_ready(struct cx_source *source, uint32_t events)
{
	struct lane *lane = cx_container_of(source, struct lane, source);
	struct stream *s = lane->stream;

	if (lane->armed == EPOLLONESHOT) /* a hang-up of a lane at rest; told no more */
		return;
	if (lane == &s->in && (events & (EPOLLERR | EPOLLHUP)) != 0)
		close_lane(lane);
	pump(s);
}

static void client_ready(struct cx_source *source, uint32_t events)
{
	struct stream *s = cx_container_of(source, struct lane, source)->stream;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
	    ((events & EPOLLRDHUP) != 0 && (events & EPOLLIN) == 0)) {
		abandon(s);
		return;
	}
	if ((events & EPOLLIN) != 0)
		read_client(s);
	pump(s);
}

/* ---- the command ---------------------------------------------------------------------------- */

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	struct stream *s = cx_container_of(exec, struct stream, exec);
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 64 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (s->state == ABANDONED)
		return;
	cx_jsonw_object(&w, NULL);
	cx_jsonw_int(&w, "pid", pid);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, &err) < 0)
		abandon(s);
	else
		queue_frame(s, &s->to_client, CX_FRAME_STARTED, &json);
	pump(s);
}

/* What is in the pipes now was written before the end; what follows is not the command's. */
static void limit_output(struct stream *s)
{
	for (unsigned i = 0; i < 2; i++) {
		int waiting = 0;

		if (!is_open(&s->out[i]))
			continue;
		(void)ioctl(s->out[i].source.fd, FIONREAD, &waiting);
		s->out[i].left = waiting > 0 ? (uint64_t)waiting : 0;
		if (waiting <= 0)
			leave_lane(&s->out[i]);
	}
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *why)
{
	struct stream *s = cx_container_of(exec, struct stream, exec);

	if (s->state == RUNNING) {
		close_lane(&s->in);
		s->to_command.len = s->from_client.len = 0;
		limit_output(s);
		s->state = DRAINING;
		s->has_end = end != NULL;
		if (end == NULL) /* it has never run */
			cx_outcopy_free(cx_take_ptr(&s->copy));
		s->has_why = why != NULL;
		if (end != NULL)
			s->end = *end;
		if (why != NULL)
			s->why = *why;
		pump(s);
	}
	release(s); /* the exec's hold */
}

/* ---- the beginning -------------------------------------------------------------------------- */

static void on_upgraded(void *arg, int sock, struct cx_upgrade *handle)
{
	struct stream *s = arg;
	struct cx_err err;

	s->handle = handle;
	if (sock < 0) {
		abandon(s);
	} else if (open_lane(s, &s->client, &sock, client_ready, &err) < 0) {
		cx_log_err(CX_LOG_ERROR, &err, "stream", NULL);
		(void)close(sock);
		abandon(s);
	} else {
		pump(s);
	}
	release(s); /* the upgrade's hold */
}

static int open_lanes(struct stream *s, struct cx_pipes *pipes, struct cx_err *err)
{
	if (s->tty) { /* one socket, but two lanes: each end closes on its own */
		pipes->ours[1] = fcntl(pipes->ours[0], F_DUPFD_CLOEXEC, 3);
		if (pipes->ours[1] < 0)
			return cx_fail(err, errno, "duplicate the terminal's socket");
	}
	if (open_lane(s, &s->in, &pipes->ours[0], lane_ready, err) < 0 ||
	    open_lane(s, &s->out[0], &pipes->ours[1], lane_ready, err) < 0)
		return -err->errnum;
	if (!s->tty && open_lane(s, &s->out[1], &pipes->ours[2], lane_ready, err) < 0)
		return -err->errnum;
	s->out[0].left = s->out[1].left = UINT64_MAX;
	return 0;
}

static void give_up(struct stream *s, struct cx_pipes *pipes)
{
	struct cx_err ignored;

	(void)!cx_exec_signal(&s->exec, SIGKILL, NULL, &ignored);
	cx_exec_forget(&s->exec);
	close_command(s);
	cx_pipes_close(pipes);
	release(s);
}

int cx_stream_start(struct cx_request *req, struct cx_session *session, struct cx_exec_spec *spec,
		    struct cx_err *err)
{
	struct cx_pipes pipes;
	struct stream *s = calloc(1, sizeof *s);

	if (s == NULL)
		return cx_fail(err, ENOMEM, "stream");
	s->gw = req->gateway;
	memcpy(s->request_id, req->id, sizeof s->request_id);
	s->tty = (spec->flags & CX_EXEC_TTY) != 0;
	s->holders = 1;
	s->output_max = spec->output_bytes;
	s->to_client.max = TO_CLIENT + 65536; /* room for small frames and the last one */
	s->to_command.max = TO_COMMAND;
	s->last.max = 16384;
	s->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	if (cx_outcopy_start(s->gw, session, spec, on_copy_moved, s, &s->copy, err) < 0 ||
	    cx_command_start(session, spec, &s->exec, &pipes, err) < 0) {
		release(s);
		return -err->errnum;
	}
	if (open_lanes(s, &pipes, err) < 0) {
		give_up(s, &pipes);
		return -err->errnum;
	}
	if (spec->input.len > 0) { /* what the body gave comes before what is streamed */
		s->to_command.max = TO_COMMAND + spec->input.max;
		if (cx_buf_add(&s->to_command, spec->input.p, spec->input.len, err) < 0) {
			give_up(s, &pipes);
			return -err->errnum;
		}
	}
	s->holders++;
	cx_request_upgrade(req, "caisson-exec/1", on_upgraded, s);
	return 0;
}
