/* SPDX-License-Identifier: Apache-2.0 */
#include "api/outflow.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"

/* So that each side finds work for a while; where the kernel gives less, that does too. */
enum { PIPE_BYTES = 1 << 20 };

static void release(struct cx_outflow *out)
{
	if (--out->holders == 0)
		out->ended(out);
}

static void watch_destroyed(struct cx_source *watch)
{
	release(cx_container_of(watch, struct cx_outflow, watch));
}

/* The client has left: the workers see that nobody reads, and end. */
static void gone(void *arg)
{
	struct cx_outflow *out = arg;

	cx_flow_cut(out->flow);
	out->flow = NULL;
}

static int begin(struct cx_outflow *out, struct cx_err *err)
{
	cx_autofd int pipe = fcntl(out->watch.fd, F_DUPFD_CLOEXEC, 3);

	if (pipe < 0)
		return cx_fail(err, errno, "duplicate a pipe");
	return cx_flow_pipe(out->req, "application/x-tar", &pipe, gone, out, &out->flow, err);
}

static void answer(struct cx_outflow *out)
{
	struct cx_err err;

	out->begun = true;
	if (begin(out, &err) < 0)
		cx_request_fail(out->req, &err);
	cx_loop_drop(out->gw->loop, &out->watch);
}

static void watch_ready(struct cx_source *watch, uint32_t events)
{
	struct cx_outflow *out = cx_container_of(watch, struct cx_outflow, watch);

	/* An end without a byte is a failure, of which the workers tell. */
	if ((events & EPOLLIN) != 0 && !out->begun)
		answer(out);
}

static void finish(struct cx_outflow *out, const struct cx_err *err)
{
	if (err != NULL)
		cx_log_err(CX_LOG_WARNING, err, "archive failed", "path", out->path, NULL);
	if (err == NULL && !out->begun)
		answer(out);
	else if (!out->begun)
		cx_request_fail(out->req, err);
	if (out->flow != NULL && err == NULL)
		cx_flow_end(out->flow);
	else if (out->flow != NULL)
		cx_flow_cut(out->flow);
	out->flow = NULL;
	cx_loop_drop(out->gw->loop, &out->watch);
	release(out);
}

static void workers_done(struct cx_workers *workers, const struct cx_err *err)
{
	finish(cx_container_of(workers, struct cx_outflow, workers), err);
}

void cx_outflow_fail(struct cx_outflow *out, const struct cx_err *err)
{
	cx_workers_forget(&out->workers);
	finish(out, err);
}

int cx_outflow_open(struct cx_outflow *out, struct cx_request *req, unsigned n, int *ret_fds,
		    struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;

	out->gw = req->gateway;
	out->req = req;
	out->path = req->route->path;
	out->workers.done = workers_done;
	if (cx_pipe(&ours, &theirs, err) < 0)
		return -err->errnum;
	(void)fcntl(ours, F_SETPIPE_SZ, PIPE_BYTES);
	if (cx_workers_open(&out->workers, out->gw->loop, n, ret_fds + 1, err) < 0) {
		cx_workers_forget(&out->workers);
		return -err->errnum;
	}
	out->watch =
		(struct cx_source){ .fd = ours, .ready = watch_ready, .destroy = watch_destroyed };
	if (cx_loop_add(out->gw->loop, &out->watch, EPOLLIN | EPOLLET, err) < 0) {
		cx_workers_forget(&out->workers);
		return -err->errnum;
	}
	(void)cx_take_fd(&ours); /* the loop's now */
	out->holders = 2;
	ret_fds[0] = cx_take_fd(&theirs);
	return 0;
}
