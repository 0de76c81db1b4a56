/* SPDX-License-Identifier: Apache-2.0 */
#include "api/workerpipe.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"

enum { CHUNK = 65536, CHUNKS_PER_TURN = 8 };

struct cx_worker_pipe {
	struct cx_source source;
	struct cx_loop *loop;
	const struct cx_worker_pipe_ops *ops;
	void *arg;
	bool over; /* nobody is to be called any more */
};

static void closed(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_worker_pipe, source));
}

static void end(struct cx_worker_pipe *pipe)
{
	pipe->over = true;
	cx_loop_drop(pipe->loop, &pipe->source);
	pipe->ops->ended(pipe->arg);
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_worker_pipe *pipe = cx_container_of(source, struct cx_worker_pipe, source);
	__attribute__((uninitialized)) char chunk[CHUNK];

	(void)events;
	for (unsigned i = 0; i < CHUNKS_PER_TURN && !pipe->over; i++) {
		ssize_t n = read(source->fd, chunk, sizeof chunk);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || !pipe->ops->take(pipe->arg, chunk, (size_t)n)) {
			if (!pipe->over)
				end(pipe);
			return;
		}
	}
}

int cx_worker_pipe_open(struct cx_loop *loop, const struct cx_worker_pipe_ops *ops, void *arg,
			int *ret_theirs, struct cx_worker_pipe **ret, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	cx_autofree struct cx_worker_pipe *pipe = calloc(1, sizeof *pipe);

	if (pipe == NULL)
		return cx_fail(err, ENOMEM, "worker");
	if (cx_pipe(&ours, &theirs, err) < 0 || cx_set_nonblock(ours, true, err) < 0)
		return -err->errnum;
	*pipe = (struct cx_worker_pipe){
		.source = { .fd = ours, .ready = ready, .destroy = closed },
		.loop = loop,
		.ops = ops,
		.arg = arg,
	};
	if (cx_loop_add(loop, &pipe->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours);
	*ret_theirs = cx_take_fd(&theirs);
	*ret = cx_take_ptr(&pipe);
	return 0;
}

void cx_worker_pipe_forget(struct cx_worker_pipe *pipe)
{
	if (pipe == NULL || pipe->over)
		return;
	pipe->over = true;
	cx_loop_drop(pipe->loop, &pipe->source);
}

/* ---- reports -------------------------------------------------------------------------------- */

static bool take_report(void *arg, const char *p, size_t len)
{
	struct cx_word *word = arg;
	size_t room = sizeof word->bytes - word->len;
	size_t n = len < room ? len : room;

	memcpy(word->bytes + word->len, p, n);
	word->len += n;
	return true;
}

static void report_ended(void *arg)
{
	struct cx_word *word = arg;

	word->pipe = NULL;
	word->heard(word);
}

static const struct cx_worker_pipe_ops report_ops = { take_report, report_ended };

int cx_word_open(struct cx_loop *loop, struct cx_word *word, int *ret_theirs, struct cx_err *err)
{
	word->len = 0;
	return cx_worker_pipe_open(loop, &report_ops, word, ret_theirs, &word->pipe, err);
}

void cx_word_forget(struct cx_word *word)
{
	cx_worker_pipe_forget(word->pipe);
	word->pipe = NULL;
}

int cx_word_get(const struct cx_word *word, struct cx_report *ret, struct cx_err *err)
{
	struct cx_err ignored;

	if (cx_report_decode(word->bytes, word->len, ret, &ignored) < 0)
		return 0;
	if (ret->ok)
		return 1;
	*err = ret->err;
	return err->errnum == EPIPE ? 0 : -err->errnum;
}
