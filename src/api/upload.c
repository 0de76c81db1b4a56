/* SPDX-License-Identifier: Apache-2.0 */
#include "api/upload.h"

#include <string.h>
#include <sys/epoll.h>

#include "api/digest.h"
#include "api/multipart.h"

/* What the sandbox has not taken yet: the bytes of one call behind their length. */
enum { OUT_MAX = 1 << 20, LENGTH_BYTES = 4 };

static const char no_length[LENGTH_BYTES]; /* also the end of all chunks */

struct upload { /* freed when it is over and the pipe is gone */
	struct cx_inflow in;
	struct cx_gateway *gw;
	struct cx_request *req; /* NULL: answered, or the client left */
	cx_upload_done *done;
	struct cx_file file;
	struct cx_source pipe;
	struct cx_buf out;
	struct cx_multipart parts;
	struct cx_digest *digest;
	struct cx_upload_result result;
	uint8_t expected[32];
	bool has_expected;
	bool whole; /* all of it is in out, or further */
	unsigned holders;
};

static void release(struct upload *up)
{
	if (--up->holders > 0)
		return;
	cx_multipart_close(&up->parts);
	cx_digest_free(up->digest);
	cx_buf_free(&up->out);
	free(up);
}

static void pipe_gone(struct cx_source *pipe)
{
	release(cx_container_of(pipe, struct upload, pipe));
}

/* Without the last chunk nothing changes inside, however far it was. */
static void finish(struct upload *up, const struct cx_err *err)
{
	struct cx_request *req = up->req;

	cx_file_cancel(&up->file);
	cx_loop_drop(up->gw->loop, &up->pipe);
	up->req = NULL;
	if (req != NULL)
		up->done(req, err == NULL ? &up->result : NULL, err);
	release(up);
}

/* ---- towards the sandbox --------------------------------------------------------------------- */

static void watch_pipe(struct upload *up, uint32_t events)
{
	struct cx_err err;

	if (!up->pipe.dead && cx_loop_change(up->gw->loop, &up->pipe, events, &err) < 0)
		cx_loop_drop(up->gw->loop, &up->pipe);
}

/* Who reads no more has ended, and will be heard of. */
static void flush(struct upload *up)
{
	while (up->out.len > 0 && !up->pipe.dead) {
		ssize_t n = write(up->pipe.fd, up->out.p, up->out.len);

		if (n > 0)
			cx_buf_drop_front(&up->out, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR)
			cx_loop_drop(up->gw->loop, &up->pipe);
	}
	if (up->pipe.dead)
		up->out.len = 0;
	watch_pipe(up, up->out.len > 0 ? EPOLLOUT : 0);
	if (up->out.len == 0 && !up->whole)
		cx_inflow_wake(&up->in);
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct upload *up = cx_container_of(pipe, struct upload, pipe);

	if ((events & EPOLLERR) != 0 && up->out.len == 0)
		cx_loop_drop(up->gw->loop, pipe);
	else
		flush(up);
}

/* ---- from the client ------------------------------------------------------------------------- */

static int take_content(void *arg, const char *p, size_t len, struct cx_err *err)
{
	struct upload *up = arg;

	return cx_buf_add(&up->out, p, len, err);
}

/* What has come behind the room for its length becomes a chunk. */
static int seal_chunk(struct upload *up, struct cx_err *err)
{
	uint32_t len = (uint32_t)(up->out.len - LENGTH_BYTES);
	struct cx_writer w = { .p = (uint8_t *)up->out.p, .left = LENGTH_BYTES };

	if (len == 0) {
		up->out.len = 0;
		return 0;
	}
	up->result.size += len;
	if (up->result.size > CX_FILE_MAX)
		return cx_files_refuse_large(err, "the file has more than %d bytes", CX_FILE_MAX);
	if (!cx_put_u32(&w, &len, CX_FILE_CHUNK_MAX))
		return cx_refuse(err, CX_INTERNAL, "a chunk of %u bytes", len);
	return cx_digest_add(up->digest, up->out.p + LENGTH_BYTES, len, err);
}

/* One chunk of each call, into how many pieces a form may have cut it. */
static int take_body(struct upload *up, const char *data, size_t len, struct cx_err *err)
{
	if (cx_buf_add(&up->out, no_length, LENGTH_BYTES, err) < 0)
		return -err->errnum;
	if (up->parts.name != NULL && cx_multipart_feed(&up->parts, data, len, err) < 0)
		return -err->errnum;
	if (up->parts.name == NULL && take_content(up, data, len, err) < 0)
		return -err->errnum;
	return seal_chunk(up, err);
}

static size_t take(struct cx_inflow *in, const char *data, size_t len)
{
	struct upload *up = cx_container_of(in, struct upload, in);
	struct cx_err err;

	if (up->out.len > 0)
		return 0;
	if (take_body(up, data, len, &err) < 0)
		finish(up, &err);
	else
		flush(up);
	return len;
}

static int check(struct upload *up, struct cx_err *err)
{
	if (up->parts.name != NULL && cx_multipart_end(&up->parts, err) < 0)
		return -err->errnum;
	if (cx_digest_get(up->digest, up->result.digest, err) < 0)
		return -err->errnum;
	if (up->has_expected && memcmp(up->expected, up->result.digest, 32) != 0)
		return cx_refuse(err, CX_INVALID,
				 "the file has another SHA-256 than it is to have; nothing was "
				 "changed");
	return cx_buf_add(&up->out, no_length, LENGTH_BYTES, err);
}

static void ended(struct cx_inflow *in)
{
	struct upload *up = cx_container_of(in, struct upload, in);
	struct cx_err err;

	if (check(up, &err) < 0) {
		finish(up, &err);
		return;
	}
	up->whole = true;
	flush(up);
}

static void lost(struct cx_inflow *in)
{
	struct upload *up = cx_container_of(in, struct upload, in);

	up->req = NULL;
	finish(up, NULL);
}

/* ---- what the agent says --------------------------------------------------------------------- */

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	(void)file;
	(void)info;
}

static void on_ended(struct cx_file *file, const struct cx_err *said)
{
	struct upload *up = cx_container_of(file, struct upload, file);
	struct cx_err err;

	if (said == NULL && up->whole) {
		finish(up, NULL);
		return;
	}
	if (said != NULL)
		cx_files_explain(up->req, said, &err);
	else
		(void)cx_refuse(&err, CX_INTERNAL, "the sandbox took a file before its end");
	finish(up, &err);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static int open_content(struct upload *up, const struct cx_upload_plan *plan, struct cx_err *err)
{
	if (cx_digest_new(&up->digest, err) < 0)
		return -err->errnum;
	up->has_expected = plan->has_digest;
	memcpy(up->expected, plan->digest, sizeof up->expected);
	if (plan->field == NULL && cx_request_announced(up->req) > CX_FILE_MAX)
		return cx_files_refuse_large(err, "the file has %llu bytes; at most %d are taken",
					     (unsigned long long)cx_request_announced(up->req),
					     CX_FILE_MAX);
	if (plan->field == NULL)
		return 0;
	up->parts = (struct cx_multipart){ .name = plan->field, .data = take_content, .arg = up };
	return cx_multipart_open(&up->parts, cx_request_content_type(up->req), err);
}

static int open_file(struct upload *up, struct cx_session *session,
		     const struct cx_upload_plan *plan, struct cx_err *err)
{
	struct cx_msg_file_put what = plan->what;
	cx_autofd int ours = -EBADF, theirs = -EBADF;

	what.timeout_ms = CX_FILE_MOVE_MS;
	if (cx_files_pipe(true, &ours, &theirs, err) < 0)
		return -err->errnum;
	up->pipe = (struct cx_source){ .fd = ours, .ready = pipe_ready, .destroy = pipe_gone };
	if (cx_loop_add(up->gw->loop, &up->pipe, 0, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours); /* the loop's now */
	up->holders++;
	up->file = (struct cx_file){ .ready = on_ready, .ended = on_ended };
	return cx_session_file_put(session, &what, &theirs, &up->file, err);
}

void cx_upload_start(struct cx_request *req, struct cx_session *session,
		     const struct cx_upload_plan *plan, cx_upload_done *done)
{
	struct upload *up = calloc(1, sizeof *up);
	struct cx_err err;

	if (up == NULL) {
		(void)cx_fail(&err, ENOMEM, "upload");
		done(req, NULL, &err);
		return;
	}
	up->gw = req->gateway;
	up->req = req;
	up->done = done;
	up->holders = 1;
	up->out.max = OUT_MAX;
	up->in = (struct cx_inflow){ .take = take, .end = ended, .lost = lost };
	if (open_content(up, plan, &err) < 0 || open_file(up, session, plan, &err) < 0)
		finish(up, &err);
	else
		cx_request_take(req, &up->in);
}
