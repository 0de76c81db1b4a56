/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"

enum { BUFFER_SIZE = 8192, DRAIN_MS = 5000, DRAIN_MAX = 1 << 20, TURNS = 16 };

struct flow {
	size_t at, len; /* what is left to write */
	char bytes[BUFFER_SIZE];
};

struct cx_tty {
	struct cx_loop *loop;
	struct cx_source master, stream;
	struct cx_timer deadline;
	uint32_t master_events, stream_events; /* as watched now */
	struct flow out, in;		       /* out: towards the host */
	size_t drained;
	void (*done)(void *arg);
	void *arg;
	bool freed;
};

static bool open_still(const struct cx_source *src)
{
	return src->added && !src->dead;
}

static void free_when_buried(struct cx_tty *tty)
{
	if (tty->freed && !tty->master.added && !tty->stream.added)
		free(tty);
}

static void destroy_master(struct cx_source *src)
{
	free_when_buried(cx_container_of(src, struct cx_tty, master));
}

static void destroy_stream(struct cx_source *src)
{
	free_when_buried(cx_container_of(src, struct cx_tty, stream));
}

static void hang_up(struct cx_tty *tty)
{
	cx_timer_clear(&tty->deadline);
	cx_loop_drop(tty->loop, &tty->master);
	cx_loop_drop(tty->loop, &tty->stream);
}

static void finish(struct cx_tty *tty)
{
	void (*done)(void *arg) = tty->done;

	hang_up(tty);
	tty->done = NULL;
	if (done != NULL)
		done(tty->arg);
}

/* -EAGAIN: later. 0: that side is at its end. */
static ssize_t fill(struct flow *flow, int fd)
{
	ssize_t n = read(fd, flow->bytes, sizeof flow->bytes);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	flow->at = 0;
	flow->len = (size_t)n;
	return n;
}

static ssize_t empty(struct flow *flow, int fd, bool is_socket)
{
	const char *from = flow->bytes + flow->at;
	ssize_t n =
		is_socket ? send(fd, from, flow->len, MSG_NOSIGNAL) : write(fd, from, flow->len);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	flow->at += (size_t)n;
	flow->len -= (size_t)n;
	return n > 0 ? n : -EAGAIN;
}

/* Returns 0 when one of the two sides is at its end, else -EAGAIN or a count: come again. */
static ssize_t pump(struct flow *flow, int from, int to, bool to_socket)
{
	ssize_t n = 1;

	for (int turn = 0; turn < TURNS && n > 0; turn++)
		n = flow->len > 0 ? empty(flow, to, to_socket) : fill(flow, from);
	return n;
}

/*
 * What a side is not wanted for is watched edge-triggered: a hang-up, which epoll reports whether
 * asked or not, then wakes us once and not in a circle.
 */
static int want(struct cx_tty *tty, struct cx_source *src, uint32_t *now, uint32_t events)
{
	struct cx_err err;

	if (events == 0)
		events = EPOLLET;
	if (*now == events)
		return 0;
	*now = events;
	return cx_loop_change(tty->loop, src, events, &err);
}

static void watch(struct cx_tty *tty)
{
	bool draining = tty->done != NULL;
	uint32_t read_out = tty->out.len == 0 ? EPOLLIN : 0U;
	uint32_t write_out = tty->out.len > 0 ? EPOLLOUT : 0U;
	uint32_t read_in = tty->in.len == 0 && !draining ? EPOLLIN : 0U;
	uint32_t write_in = tty->in.len > 0 && !draining ? EPOLLOUT : 0U;

	if (want(tty, &tty->master, &tty->master_events, read_out | write_in) < 0 ||
	    want(tty, &tty->stream, &tty->stream_events, read_in | write_out) < 0)
		finish(tty);
}

/*
 * The kernel hands the slave's last words to a reader before it says EAGAIN or EIO, so after the
 * command's end either of them means that everything was read.
 */
static void drain(struct cx_tty *tty)
{
	while (tty->drained < DRAIN_MAX) {
		bool writes = tty->out.len > 0;
		ssize_t n = writes ? empty(&tty->out, tty->stream.fd, true)
				   : fill(&tty->out, tty->master.fd);

		if (writes && n == -EAGAIN) {
			watch(tty);
			return;
		}
		if (n <= 0)
			break;
		tty->drained += (size_t)n;
	}
	finish(tty);
}

static void relay(struct cx_tty *tty)
{
	if (pump(&tty->out, tty->master.fd, tty->stream.fd, true) == 0 ||
	    pump(&tty->in, tty->stream.fd, tty->master.fd, false) == 0)
		finish(tty);
	else
		watch(tty);
}

static void turn(struct cx_tty *tty)
{
	if (!open_still(&tty->master) || !open_still(&tty->stream))
		return;
	if (tty->done != NULL)
		drain(tty);
	else
		relay(tty);
}

static void master_ready(struct cx_source *src, uint32_t events)
{
	(void)events;
	turn(cx_container_of(src, struct cx_tty, master));
}

static void stream_ready(struct cx_source *src, uint32_t events)
{
	struct cx_tty *tty = cx_container_of(src, struct cx_tty, stream);

	if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		finish(tty); /* nobody sees the output any more */
	else
		turn(tty);
}

static void too_late(struct cx_timer *timer)
{
	finish(cx_container_of(timer, struct cx_tty, deadline));
}

int cx_tty_resize(struct cx_tty *tty, uint32_t rows, uint32_t cols, struct cx_err *err)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	if (!open_still(&tty->master))
		return cx_refuse(err, CX_CONFLICT, "the terminal is closed");
	if (ioctl(tty->master.fd, TIOCSWINSZ, &size) < 0)
		return cx_fail(err, errno, "set the terminal's size");
	return 0;
}

bool cx_tty_signal(struct cx_tty *tty, int signo)
{
	if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP)
		return false;
	return open_still(&tty->master) && ioctl(tty->master.fd, TIOCSIG, signo) == 0;
}

static int open_pair(struct cx_tty *tty, int devpts, int *ret_slave, struct cx_err *err)
{
	static const int unlock = 0;

	tty->master.fd = openat(devpts, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (tty->master.fd < 0)
		return cx_fail(err, errno, "open a terminal");
	if (ioctl(tty->master.fd, TIOCSPTLCK, &unlock) < 0)
		return cx_fail(err, errno, "unlock a terminal");
	*ret_slave = ioctl(tty->master.fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_slave < 0)
		return cx_fail(err, errno, "open the terminal's other end");
	return 0;
}

int cx_tty_open(struct cx_loop *loop, int devpts, int *stream, uint32_t rows, uint32_t cols,
		struct cx_tty **ret, int *ret_slave, struct cx_err *err)
{
	cx_autofd int slave = -EBADF;
	struct cx_tty *tty = calloc(1, sizeof *tty);

	if (tty == NULL)
		return cx_fail(err, ENOMEM, "terminal");
	tty->loop = loop;
	tty->master_events = tty->stream_events = EPOLLIN;
	tty->master = (struct cx_source){ .fd = -EBADF,
					  .ready = master_ready,
					  .destroy = destroy_master };
	tty->stream = (struct cx_source){ .fd = cx_take_fd(stream),
					  .ready = stream_ready,
					  .destroy = destroy_stream };
	tty->deadline.fire = too_late;
	if (cx_set_nonblock(tty->stream.fd, true, err) < 0 ||
	    open_pair(tty, devpts, &slave, err) < 0 ||
	    cx_loop_add(loop, &tty->master, EPOLLIN, err) < 0 ||
	    cx_loop_add(loop, &tty->stream, EPOLLIN, err) < 0 ||
	    cx_tty_resize(tty, rows, cols, err) < 0) {
		cx_tty_free(tty);
		return -err->errnum;
	}
	*ret = tty;
	*ret_slave = cx_take_fd(&slave);
	return 0;
}

void cx_tty_drain(struct cx_tty *tty, void (*done)(void *arg), void *arg)
{
	tty->done = done;
	tty->arg = arg;
	if (!open_still(&tty->master) || !open_still(&tty->stream)) {
		finish(tty);
		return;
	}
	cx_timer_set(tty->loop, &tty->deadline, DRAIN_MS);
	turn(tty);
}

void cx_tty_free(struct cx_tty *tty)
{
	if (tty == NULL || tty->freed)
		return;
	tty->freed = true;
	tty->done = NULL;
	hang_up(tty);
	if (!tty->master.added) /* never watched: not the loop's to close */
		cx_close(&tty->master.fd);
	if (!tty->stream.added)
		cx_close(&tty->stream.fd);
	free_when_buried(tty);
}
