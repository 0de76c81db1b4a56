/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>

#include "api/files.h"

struct collect { /* freed when it is over and the pipe is gone */
	struct cx_gateway *gw;
	struct cx_request *req;
	cx_collect_done *done;
	struct cx_file file;
	struct cx_source pipe;
	struct cx_buf kept;
	struct cx_msg_file_info info;
	uint64_t counted; /* in the gateway's output_bytes */
	bool exact;	  /* info says how many bytes come */
	unsigned holders;
};

static void release(struct collect *c)
{
	if (--c->holders > 0)
		return;
	c->gw->output_bytes -= c->counted;
	cx_buf_free(&c->kept);
	free(c);
}

static void pipe_gone(struct cx_source *pipe)
{
	release(cx_container_of(pipe, struct collect, pipe));
}

static void finish(struct collect *c, const struct cx_err *err)
{
	struct cx_collected got = { .info = c->info, .p = c->kept.p, .len = c->kept.len };

	cx_file_cancel(&c->file);
	cx_loop_drop(c->gw->loop, &c->pipe);
	c->req->gone = NULL;
	c->done(c->req, err == NULL ? &got : NULL, err);
	release(c);
}

/* Up to the end, or to what is there now. More than was said does not fit. */
static int read_pipe(struct collect *c, struct cx_err *err)
{
	while (!c->pipe.dead) {
		char *to = cx_buf_reserve(&c->kept, 1, err);
		ssize_t n;

		if (to == NULL)
			return -err->errnum;
		n = read(c->pipe.fd, to, c->kept.size - c->kept.len);
		if (n > 0)
			c->kept.len += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			return 0;
		else if (n == 0 || errno != EINTR)
			cx_loop_drop(c->gw->loop, &c->pipe);
	}
	return 0;
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct collect *c = cx_container_of(pipe, struct collect, pipe);
	struct cx_err err;

	(void)events;
	if (c->kept.max > 0 && read_pipe(c, &err) < 0)
		finish(c, &err);
}

static void gone(struct cx_request *req)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the client has left");
	finish(req->owner, &err);
}

static int make_room(struct collect *c, uint64_t length, struct cx_err *err)
{
	if (length > CX_FILE_READ_MAX)
		return cx_files_refuse_large(
			err, "%llu bytes are to be read; at most %d are read at once",
			(unsigned long long)length, CX_FILE_READ_MAX);
	if (c->gw->output_bytes + length > CX_OUTPUT_BYTES_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "too much is being read at the same time");
	c->counted = length;
	c->gw->output_bytes += length;
	c->kept.max = length + 1;
	/* A list is mostly shorter than it may be. */
	return !c->exact || cx_buf_reserve(&c->kept, c->kept.max, err) != NULL ? 0 : -err->errnum;
}

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	struct collect *c = cx_container_of(file, struct collect, file);
	struct cx_err err;

	c->info = *info;
	if (make_room(c, c->exact ? info->length : CX_FILE_LIST_MAX, &err) < 0 ||
	    read_pipe(c, &err) < 0)
		finish(c, &err);
}

/* All that was written is in the pipe by now. */
static int conclude(struct collect *c, struct cx_err *err)
{
	if (read_pipe(c, err) < 0)
		return -err->errnum;
	if (c->kept.max == 0 || (c->exact && c->kept.len != c->info.length))
		return cx_refuse(err, CX_INTERNAL, "the sandbox sent %zu of %llu bytes",
				 c->kept.len, (unsigned long long)c->info.length);
	return 0;
}

static void on_ended(struct cx_file *file, const struct cx_err *said)
{
	struct collect *c = cx_container_of(file, struct collect, file);
	struct cx_err err;

	if (said != NULL)
		cx_files_explain(c->req, said, &err);
	else if (conclude(c, &err) == 0) {
		finish(c, NULL);
		return;
	}
	finish(c, &err);
}

/* Returns the agent's end of the pipe. */
static int open_collect(struct cx_request *req, cx_collect_done *done, struct collect **ret,
			struct cx_err *err)
{
	cx_autofree struct collect *c = calloc(1, sizeof *c);
	cx_autofd int ours = -EBADF, theirs = -EBADF;

	if (c == NULL)
		return cx_fail(err, ENOMEM, "read a file");
	*c = (struct collect){ .gw = req->gateway, .req = req, .done = done, .holders = 2 };
	if (cx_files_pipe(false, &ours, &theirs, err) < 0)
		return -err->errnum;
	c->pipe = (struct cx_source){ .fd = ours, .ready = pipe_ready, .destroy = pipe_gone };
	if (cx_loop_add(c->gw->loop, &c->pipe, EPOLLIN | EPOLLET, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours); /* the loop's now */
	c->file = (struct cx_file){ .ready = on_ready, .ended = on_ended };
	*ret = cx_take_ptr(&c);
	return cx_take_fd(&theirs);
}

static void begin(struct collect *c, int r, const struct cx_err *err)
{
	if (r < 0) {
		finish(c, err);
		return;
	}
	c->req->owner = c;
	c->req->gone = gone;
}

void cx_collect_get(struct cx_request *req, struct cx_session *session,
		    struct cx_msg_file_get *what, cx_collect_done *done)
{
	struct cx_err err;
	struct collect *c;
	int theirs = open_collect(req, done, &c, &err);

	if (theirs < 0) {
		done(req, NULL, &err);
		return;
	}
	c->exact = true;
	what->timeout_ms = CX_FILE_READ_MS;
	begin(c, cx_session_file_get(session, what, &theirs, &c->file, &err), &err);
}

void cx_collect_list(struct cx_request *req, struct cx_session *session,
		     struct cx_msg_file_list *what, cx_collect_done *done)
{
	struct cx_err err;
	struct collect *c;
	int theirs = open_collect(req, done, &c, &err);

	if (theirs < 0) {
		done(req, NULL, &err);
		return;
	}
	what->timeout_ms = CX_FILE_READ_MS;
	begin(c, cx_session_file_list(session, what, &theirs, &c->file, &err), &err);
}
