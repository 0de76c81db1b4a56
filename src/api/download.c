/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>

#include "api/files.h"

struct download { /* freed when it is over and the pipe is gone */
	struct cx_pieces body;
	struct cx_gateway *gw;
	struct cx_request *req;
	struct cx_file file;
	struct cx_source pipe;
	uint64_t length, sent;
	bool begun; /* the answer */
	unsigned holders;
};

static void release(struct download *down)
{
	if (--down->holders == 0)
		free(down);
}

static void pipe_gone(struct cx_source *pipe)
{
	release(cx_container_of(pipe, struct download, pipe));
}

/* Nobody inside goes on writing. */
static void finish(struct download *down)
{
	cx_file_cancel(&down->file);
	cx_loop_drop(down->gw->loop, &down->pipe);
	release(down);
}

static void fail(struct download *down, const struct cx_err *err)
{
	down->req->gone = NULL;
	cx_files_fail(down->req, err);
	finish(down);
}

/* ---- towards the client ---------------------------------------------------------------------- */

/* Reads until it would block: the loop tells of new bytes, not of those that are there. */
static ssize_t read_pipe(struct cx_pieces *body, char *to, size_t max)
{
	struct download *down = cx_container_of(body, struct download, body);
	uint64_t left = down->length - down->sent;
	ssize_t n;

	if (left == 0)
		return CX_PIECES_END;
	do
		n = read(down->pipe.fd, to, left < max ? left : max);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return CX_PIECES_CUT;
	down->sent += (uint64_t)n;
	return n;
}

static void closed(struct cx_pieces *body)
{
	finish(cx_container_of(body, struct download, body));
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct download *down = cx_container_of(pipe, struct download, pipe);

	(void)events;
	if (down->begun)
		cx_pieces_wake(&down->body);
}

static void gone(struct cx_request *req)
{
	struct download *down = req->owner;
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the client has left");
	fail(down, &err);
}

/* ---- what the agent says --------------------------------------------------------------------- */

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	struct download *down = cx_container_of(file, struct download, file);

	down->begun = true;
	down->length = info->length;
	down->req->gone = NULL;
	down->body = (struct cx_pieces){ .read = read_pipe, .closed = closed };
	cx_request_stream_sized(down->req, 200, "application/octet-stream", down->length,
				&down->body);
}

/* Once the answer has begun, what is missing is seen at the end of the pipe. */
static void on_ended(struct cx_file *file, const struct cx_err *said)
{
	struct download *down = cx_container_of(file, struct download, file);
	struct cx_err err;

	if (down->begun)
		return;
	if (said != NULL)
		cx_files_explain(down->req, said, &err);
	else
		(void)cx_refuse(&err, CX_INTERNAL, "the sandbox says nothing of a file");
	fail(down, &err);
}

static int open_file(struct download *down, struct cx_session *session,
		     const struct cx_msg_file_get *what, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;

	if (cx_files_pipe(false, &ours, &theirs, err) < 0)
		return -err->errnum;
	down->pipe = (struct cx_source){ .fd = ours, .ready = pipe_ready, .destroy = pipe_gone };
	if (cx_loop_add(down->gw->loop, &down->pipe, EPOLLIN | EPOLLET, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours); /* the loop's now */
	down->holders++;
	down->file = (struct cx_file){ .ready = on_ready, .ended = on_ended };
	return cx_session_file_get(session, what, &theirs, &down->file, err);
}

void cx_download_start(struct cx_request *req, struct cx_session *session,
		       struct cx_msg_file_get *what)
{
	struct download *down = calloc(1, sizeof *down);
	struct cx_err err;

	if (down == NULL) {
		(void)cx_fail(&err, ENOMEM, "download");
		cx_request_fail(req, &err);
		return;
	}
	*down = (struct download){ .gw = req->gateway, .req = req, .holders = 1 };
	what->timeout_ms = CX_FILE_MOVE_MS;
	if (open_file(down, session, what, &err) < 0) {
		fail(down, &err);
		return;
	}
	req->owner = down;
	req->gone = gone;
}
