/* SPDX-License-Identifier: Apache-2.0 */
#include "api/upload.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "api/digest.h"
#include "api/multipart.h"

/* A chunk is the content of one call of take() behind its length; the last one has none. */
enum { LENGTH_BYTES = 4, PIECES_MAX = 1 + CX_MULTIPART_PIECES };

struct upload { /* freed when it is over and the pipe is gone */
	struct cx_inflow in;
	struct cx_gateway *gw;
	struct cx_request *req; /* NULL: answered, or the client left */
	cx_upload_done *done;
	struct cx_file file;
	struct cx_source pipe;
	bool armed;			 /* the pipe tells when there is room */
	struct cx_buf out;		 /* what the pipe had no room for */
	struct iovec pieces[PIECES_MAX]; /* of the chunk that is made, where the server has them */
	int npieces;
	struct cx_multipart parts;
	struct cx_digest *digest; /* NULL: not wanted */
	struct cx_upload_result result;
	uint64_t max;
	uint8_t expected[32];
	bool has_expected;
	bool whole; /* the last chunk is made, too */
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

static void watch_pipe(struct upload *up, bool wanted)
{
	struct cx_err err;

	if (up->pipe.dead || up->armed == wanted)
		return;
	up->armed = wanted;
	if (cx_loop_change(up->gw->loop, &up->pipe, wanted ? EPOLLOUT : 0, &err) < 0)
		cx_loop_drop(up->gw->loop, &up->pipe);
}

/* How many bytes went. Who reads no more has ended, and will be heard of. */
static size_t write_pipe(struct upload *up, const struct iovec *pieces, int n)
{
	ssize_t done = up->pipe.dead ? 0 : writev(up->pipe.fd, pieces, n);

	if (done < 0 && errno != EAGAIN && errno != EINTR)
		cx_loop_drop(up->gw->loop, &up->pipe);
	return done > 0 ? (size_t)done : 0;
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct upload *up = cx_container_of(pipe, struct upload, pipe);
	const struct iovec rest = { .iov_base = up->out.p, .iov_len = up->out.len };

	if ((events & EPOLLERR) != 0 && up->out.len == 0) {
		cx_loop_drop(up->gw->loop, pipe);
		return;
	}
	cx_buf_drop_front(&up->out, write_pipe(up, &rest, 1));
	if (pipe->dead)
		up->out.len = 0;
	watch_pipe(up, up->out.len > 0);
	if (up->out.len == 0 && !up->whole)
		cx_inflow_wake(&up->in);
}

/* ---- from the client ------------------------------------------------------------------------- */

static int take_content(void *arg, const char *p, size_t len, struct cx_err *err)
{
	struct upload *up = arg;

	assert(up->npieces < PIECES_MAX);
	up->pieces[up->npieces++] = (struct iovec){ (void *)(uintptr_t)p, len };
	up->result.size += len;
	if (up->result.size > up->max)
		return cx_files_refuse_large(err, "the file has more than %llu bytes",
					     (unsigned long long)up->max);
	return up->result.summed ? cx_digest_add(up->digest, p, len, err) : 0;
}

/* What the pipe has no room for is kept; then nothing more is taken until that has gone. */
static int send_chunk(struct upload *up, uint32_t len, struct cx_err *err)
{
	uint8_t length[LENGTH_BYTES];
	struct cx_writer w = { .p = length, .left = sizeof length };
	size_t done;

	if (!cx_put_u32(&w, &len, CX_FILE_CHUNK_MAX))
		return cx_refuse(err, CX_INTERNAL, "a chunk of %u bytes", len);
	up->pieces[0] = (struct iovec){ length, sizeof length };
	done = up->out.len == 0 ? write_pipe(up, up->pieces, up->npieces) : 0;
	for (int i = 0; i < up->npieces && !up->pipe.dead; i++) {
		const struct iovec *piece = &up->pieces[i];
		size_t gone = done < piece->iov_len ? done : piece->iov_len;

		done -= gone;
		if (cx_buf_add(&up->out, (const char *)piece->iov_base + gone,
			       piece->iov_len - gone, err) < 0)
			return -err->errnum;
	}
	watch_pipe(up, up->out.len > 0);
	return 0;
}

/* One chunk of each call, into how many pieces a form may have cut it. */
static int take_body(struct upload *up, const char *data, size_t len, struct cx_err *err)
{
	uint64_t before = up->result.size;
	int r;

	up->npieces = 1;
	r = up->parts.name != NULL ? cx_multipart_feed(&up->parts, data, len, err)
				   : take_content(up, data, len, err);
	if (r < 0 || up->result.size == before)
		return r;
	return send_chunk(up, (uint32_t)(up->result.size - before), err);
}

static size_t take(struct cx_inflow *in, const char *data, size_t len)
{
	struct upload *up = cx_container_of(in, struct upload, in);
	struct cx_err err;

	if (up->out.len > 0)
		return 0;
	if (take_body(up, data, len, &err) < 0)
		finish(up, &err);
	return len;
}

static int check(struct upload *up, struct cx_err *err)
{
	if (up->parts.name != NULL && cx_multipart_end(&up->parts, err) < 0)
		return -err->errnum;
	if (up->result.summed && cx_digest_get(up->digest, up->result.digest, err) < 0)
		return -err->errnum;
	if (up->has_expected && memcmp(up->expected, up->result.digest, 32) != 0)
		return cx_refuse(err, CX_INVALID,
				 "the file has another SHA-256 than it is to have; nothing was "
				 "changed");
	up->npieces = 1;
	return send_chunk(up, 0, err);
}

static void ended(struct cx_inflow *in)
{
	struct upload *up = cx_container_of(in, struct upload, in);
	struct cx_err err;

	up->whole = true;
	if (check(up, &err) < 0)
		finish(up, &err);
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
	up->result.summed = !plan->unsummed;
	if (up->result.summed && cx_digest_new(&up->digest, err) < 0)
		return -err->errnum;
	up->has_expected = plan->has_digest;
	memcpy(up->expected, plan->digest, sizeof up->expected);
	up->max = plan->what.kind == CX_FILE_TAR ? CX_ARCHIVE_BODY_MAX : CX_FILE_MAX;
	if (plan->field == NULL && cx_request_announced(up->req) > up->max)
		return cx_files_refuse_large(err, "the file has %llu bytes; at most %llu are taken",
					     (unsigned long long)cx_request_announced(up->req),
					     (unsigned long long)up->max);
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
	up->out.max = 2 * LENGTH_BYTES + CX_FILE_CHUNK_MAX;
	up->in = (struct cx_inflow){ .take = take, .end = ended, .lost = lost };
	if (open_content(up, plan, &err) < 0 || open_file(up, session, plan, &err) < 0)
		finish(up, &err);
	else
		cx_request_take(req, &up->in);
}
