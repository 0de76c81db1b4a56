/* SPDX-License-Identifier: Apache-2.0 */
#include "api/outcopy.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/files.h"
#include "base/str.h"

enum { LENGTH_BYTES = 4, LEFT_MAX = 4 << 20 }; /* LEFT_MAX: pipes that are read at the end */

struct cx_outcopy { /* freed when its owner and the pipe are gone */
	struct cx_gateway *gw;
	struct cx_file file;
	struct cx_source pipe;
	struct cx_buf out; /* what the pipe had no room for */
	struct cx_timer patience;
	void (*moved)(void *arg);
	void *arg;
	uint64_t bytes;
	struct cx_err why; /* errnum 0: nothing went wrong */
	bool armed;	   /* the pipe tells when there is room */
	bool whole, over;
	unsigned holders;
};

static void release(struct cx_outcopy *copy)
{
	if (--copy->holders > 0)
		return;
	copy->gw->output_bytes -= copy->out.len;
	cx_buf_free(&copy->out);
	free(copy);
}

static void pipe_gone(struct cx_source *pipe)
{
	release(cx_container_of(pipe, struct cx_outcopy, pipe));
}

/* Without the last chunk nothing changes inside, however far it was. */
static void conclude(struct cx_outcopy *copy, const struct cx_err *why)
{
	copy->over = true;
	if (why != NULL)
		copy->why = *why;
	cx_timer_clear(&copy->patience);
	cx_file_cancel(&copy->file);
	cx_loop_drop(copy->gw->loop, &copy->pipe);
	copy->gw->output_bytes -= copy->out.len;
	cx_buf_free(&copy->out);
}

static void too_slow(struct cx_timer *timer)
{
	struct cx_outcopy *copy = cx_container_of(timer, struct cx_outcopy, patience);
	struct cx_err err;

	(void)cx_refuse(&err, CX_TIMEOUT, "it was not written within %d s",
			CX_OUTCOPY_END_MS / 1000);
	conclude(copy, &err);
	copy->moved(copy->arg);
}

/* ---- towards the sandbox --------------------------------------------------------------------- */

/* Who reads no more has ended, and will be heard of. */
static void flush(struct cx_outcopy *copy)
{
	struct cx_err err;
	bool wanted;
	ssize_t n;

	if (copy->pipe.dead)
		return;
	n = copy->out.len > 0 ? write(copy->pipe.fd, copy->out.p, copy->out.len) : 0;
	if (n > 0) {
		cx_buf_drop_front(&copy->out, (size_t)n);
		copy->gw->output_bytes -= (uint64_t)n;
	}
	wanted = copy->out.len > 0;
	if ((n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (wanted != copy->armed &&
	     cx_loop_change(copy->gw->loop, &copy->pipe, wanted ? EPOLLOUT : 0, &err) < 0))
		cx_loop_drop(copy->gw->loop, &copy->pipe);
	copy->armed = wanted;
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct cx_outcopy *copy = cx_container_of(pipe, struct cx_outcopy, pipe);

	if ((events & EPOLLERR) != 0)
		cx_loop_drop(copy->gw->loop, pipe);
	else
		flush(copy);
	if (cx_outcopy_has_room(copy))
		copy->moved(copy->arg);
}

static int add_chunk(struct cx_outcopy *copy, const void *p, uint32_t len, struct cx_err *err)
{
	uint8_t length[LENGTH_BYTES];
	struct cx_writer w = { .p = length, .left = sizeof length };

	if (copy->gw->output_bytes + len + sizeof length > CX_OUTPUT_BYTES_MAX)
		return cx_refuse(err, CX_BUSY, "the gateway keeps too much output at the moment");
	if (!cx_put_u32(&w, &len, CX_FILE_CHUNK_MAX))
		return cx_refuse(err, CX_INTERNAL, "a chunk of %u bytes", len);
	if (cx_buf_add(&copy->out, length, sizeof length, err) < 0)
		return -err->errnum;
	copy->gw->output_bytes += sizeof length;
	if (len > 0 && cx_buf_add(&copy->out, p, len, err) < 0)
		return -err->errnum;
	copy->gw->output_bytes += len;
	flush(copy);
	return 0;
}

void cx_outcopy_add(struct cx_outcopy *copy, const void *p, size_t len)
{
	struct cx_err err;

	if (copy == NULL || copy->over || copy->pipe.dead)
		return;
	copy->bytes += len;
	if (add_chunk(copy, p, (uint32_t)len, &err) < 0)
		conclude(copy, &err);
}

bool cx_outcopy_has_room(const struct cx_outcopy *copy)
{
	return copy == NULL || copy->over || copy->pipe.dead ||
	       copy->out.len < CX_OUTCOPY_WAITING_MAX;
}

bool cx_outcopy_finish(struct cx_outcopy *copy)
{
	struct cx_err err;

	if (copy == NULL || copy->over || copy->whole)
		return copy == NULL || copy->over;
	copy->whole = true;
	cx_timer_set(copy->gw->loop, &copy->patience, CX_OUTCOPY_END_MS);
	if (!copy->pipe.dead && add_chunk(copy, NULL, 0, &err) < 0)
		conclude(copy, &err);
	return copy->over;
}

/* ---- what the agent says --------------------------------------------------------------------- */

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	(void)file;
	(void)info;
}

static void on_ended(struct cx_file *file, const struct cx_err *said)
{
	struct cx_outcopy *copy = cx_container_of(file, struct cx_outcopy, file);
	struct cx_err err;

	if (said == NULL && (!copy->whole || copy->out.len > 0)) {
		(void)cx_refuse(&err, CX_INTERNAL, "the sandbox took it before its end");
		said = &err;
	}
	conclude(copy, said);
	copy->moved(copy->arg);
}

void cx_outcopy_write(struct cx_jsonw *w, const struct cx_outcopy *copy)
{
	char text[sizeof copy->why.msg + 128];
	const bool fine = copy != NULL && copy->over && copy->why.errnum == 0;

	if (copy == NULL)
		return;
	if (fine)
		cx_jsonw_int(w, "output_file_bytes", (int64_t)copy->bytes);
	else
		cx_jsonw_null(w, "output_file_bytes");
	cx_jsonw_text(w, "output_file_error",
		      fine ? NULL : cx_err_render(&copy->why, text, sizeof text));
}

/* ---- its life -------------------------------------------------------------------------------- */

/* Where the command would have it: what is no absolute path begins where it begins itself. */
static int find_path(const struct cx_exec_spec *spec, char ret[CX_OUTPUT_FILE_MAX],
		     struct cx_err *err)
{
	const bool own = spec->output_file[0] == '/' || spec->cwd[0] == '\0';

	return cx_format(ret, CX_OUTPUT_FILE_MAX, "%s%s%s", err, own ? "" : spec->cwd,
			 own ? "" : "/", spec->output_file) < 0
		       ? -err->errnum
		       : 0;
}

static int open_file(struct cx_outcopy *copy, struct cx_session *session,
		     const struct cx_exec_spec *spec, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	char path[CX_OUTPUT_FILE_MAX];
	struct cx_msg_file_put what = { .kind = CX_FILE_REGULAR,
					.user = cx_str_of(spec->user),
					.mode = CX_FILE_MODE_NONE };

	if (find_path(spec, path, err) < 0 || cx_files_pipe(true, &ours, &theirs, err) < 0)
		return -err->errnum;
	what.path = cx_str_of(path);
	copy->pipe = (struct cx_source){ .fd = ours, .ready = pipe_ready, .destroy = pipe_gone };
	if (cx_loop_add(copy->gw->loop, &copy->pipe, 0, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours);
	copy->holders++;
	copy->file = (struct cx_file){ .ready = on_ready, .ended = on_ended };
	return cx_session_file_put(session, &what, &theirs, &copy->file, err);
}

int cx_outcopy_start(struct cx_gateway *gw, struct cx_session *session,
		     const struct cx_exec_spec *spec, void (*moved)(void *arg), void *arg,
		     struct cx_outcopy **ret, struct cx_err *err)
{
	struct cx_outcopy *copy;

	*ret = NULL;
	if (spec->output_file == NULL || spec->output_file[0] == '\0')
		return 0;
	copy = calloc(1, sizeof *copy);
	if (copy == NULL)
		return cx_fail(err, ENOMEM, "file for the output");
	copy->gw = gw;
	copy->moved = moved;
	copy->arg = arg;
	copy->holders = 1;
	copy->out.max = CX_OUTCOPY_WAITING_MAX + LEFT_MAX;
	copy->patience.fire = too_slow;
	if (open_file(copy, session, spec, err) < 0) {
		cx_outcopy_free(copy);
		return cx_wrap(err, "file for the output");
	}
	*ret = copy;
	return 0;
}

void cx_outcopy_free(struct cx_outcopy *copy)
{
	if (copy == NULL)
		return;
	if (!copy->over)
		conclude(copy, NULL);
	release(copy);
}
