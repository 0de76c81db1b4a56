/* SPDX-License-Identifier: Apache-2.0 */
#include "api/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>

#include "base/fd.h"
#include "base/log.h"

enum { PIPE_BYTES = 1 << 20, PIECES_PER_TURN = 4 };

struct cx_feed {
	struct cx_source source; /* the pipe; not in the loop any more when it has ended */
	struct cx_loop *loop;
	int file;
	uint64_t at, have;
	bool ended;	 /* the file does not grow any more */
	bool waits;	 /* for the pipe */
	bool over, left; /* the pipe is closed; nobody holds the feed */
};

static void destroy(struct cx_feed *feed)
{
	cx_close(&feed->file);
	free(feed);
}

static void closed(struct cx_source *source)
{
	struct cx_feed *feed = cx_container_of(source, struct cx_feed, source);

	feed->over = true;
	if (feed->left)
		destroy(feed);
}

static void wait_for_pipe(struct cx_feed *feed, bool waits)
{
	struct cx_err err;

	if (feed->waits == waits)
		return;
	feed->waits = waits;
	if (cx_loop_change(feed->loop, &feed->source, waits ? EPOLLOUT : 0, &err) < 0) {
		cx_log_err(CX_LOG_WARNING, &err, "feed of a worker", NULL);
		cx_loop_drop(feed->loop, &feed->source);
	}
}

/* A worker that has ended says why by its report, not here. */
static void pump(struct cx_feed *feed)
{
	for (unsigned i = 0; i < PIECES_PER_TURN && feed->at < feed->have; i++) {
		uint64_t left = feed->have - feed->at;
		off_t at = (off_t)feed->at;
		ssize_t n = sendfile(feed->source.fd, feed->file, &at,
				     left < PIPE_BYTES ? (size_t)left : PIPE_BYTES);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			cx_loop_drop(feed->loop, &feed->source);
			return;
		}
		feed->at += (uint64_t)n;
	}
	if (feed->at == feed->have && feed->ended)
		cx_loop_drop(feed->loop, &feed->source);
	else
		wait_for_pipe(feed, feed->at < feed->have);
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_feed *feed = cx_container_of(source, struct cx_feed, source);

	if ((events & EPOLLERR) != 0) /* nobody reads any more */
		cx_loop_drop(feed->loop, source);
	else
		pump(feed);
}

static int open_pipe(struct cx_feed *feed, int *ret_reader, struct cx_err *err)
{
	cx_autofd int reader = -EBADF, writer = -EBADF;

	if (cx_pipe(&reader, &writer, err) < 0 || cx_set_nonblock(writer, true, err) < 0)
		return -err->errnum;
	(void)fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one does */
	feed->source =
		(struct cx_source){ .fd = cx_take_fd(&writer), .ready = ready, .destroy = closed };
	if (cx_loop_add(feed->loop, &feed->source, 0, err) < 0) {
		cx_close(&feed->source.fd);
		return -err->errnum;
	}
	*ret_reader = cx_take_fd(&reader);
	return 0;
}

int cx_feed_new(struct cx_loop *loop, int file, int *ret_reader, struct cx_feed **ret,
		struct cx_err *err)
{
	struct cx_feed *feed = calloc(1, sizeof *feed);

	if (feed == NULL)
		return cx_fail(err, ENOMEM, "feed of a worker");
	feed->loop = loop;
	feed->file = fcntl(file, F_DUPFD_CLOEXEC, 3);
	if (feed->file < 0)
		(void)cx_fail(err, errno, "feed of a worker");
	if (feed->file < 0 || open_pipe(feed, ret_reader, err) < 0) {
		destroy(feed);
		return -err->errnum;
	}
	*ret = feed;
	return 0;
}

void cx_feed_grown(struct cx_feed *feed, uint64_t bytes, bool end)
{
	feed->have = bytes;
	feed->ended = end;
	if (!feed->source.dead && !feed->over)
		pump(feed);
}

void cx_feed_free(struct cx_feed *feed)
{
	if (feed == NULL)
		return;
	feed->left = true;
	if (feed->over)
		destroy(feed);
	else
		cx_loop_drop(feed->loop, &feed->source);
}
