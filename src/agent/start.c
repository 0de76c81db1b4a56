/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/start.h"

#include <errno.h>
#include <sys/epoll.h>

#include "agent/job.h"
#include "base/fd.h"

enum { READ_SIZE = 65536, READS_PER_ROUND = 8 };

static struct cx_msg_main_state state_of(const struct cx_start *start)
{
	return (struct cx_msg_main_state){ .state = (uint32_t)start->state,
					   .how = start->how,
					   .status = start->status };
}

/* At most rounds buffers; what a command that prints without end writes beyond that waits. */
static void read_log(struct cx_agent *agent, int rounds)
{
	CX_UNINITIALIZED char bytes[READ_SIZE];
	struct cx_start *start = &agent->start;

	for (int i = 0; i < rounds; i++) {
		ssize_t n = read(start->log.fd, bytes, sizeof bytes);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			cx_loop_drop(&agent->loop, &start->log);
			return;
		}
		cx_ring_write(&start->ring, bytes, (size_t)n);
	}
}

static void log_ready(struct cx_source *src, uint32_t events)
{
	struct cx_start *start = cx_container_of(src, struct cx_start, log);

	(void)events;
	read_log(cx_container_of(start, struct cx_agent, start), READS_PER_ROUND);
}

static void on_started(struct cx_job *job)
{
	struct cx_agent *agent = job->agent;

	agent->start.state = CX_MAIN_RUNNING;
	agent->phase = CX_PHASE_CONFIGURED;
	cx_conn_ok(cx_conn_find(agent, agent->start.asker.conn), agent->start.asker.request);
}

/* As if configure had never been asked: it may be asked again, with another command. */
static void on_failed(struct cx_job *job, const struct cx_err *err)
{
	struct cx_agent *agent = job->agent;
	struct cx_err why = *err;

	(void)cx_wrap(&why, "start command");
	cx_loop_drop(&agent->loop, &agent->start.log);
	agent->phase = CX_PHASE_CLAIMED;
	cx_conn_refuse(cx_conn_find(agent, agent->start.asker.conn), agent->start.asker.request,
		       &why);
}

static void on_exited(struct cx_job *job, const struct cx_msg_exited *end)
{
	struct cx_agent *agent = job->agent;
	struct cx_start *start = &agent->start;
	struct cx_msg_main_state m;
	struct cx_conn *next;

	if (start->log.added && !start->log.dead)
		read_log(agent, READS_PER_ROUND); /* its last words come before its end */
	start->state = CX_MAIN_ENDED;
	start->how = end->how;
	start->status = end->status;
	m = state_of(start);
	for (struct cx_conn *conn = agent->conns; conn != NULL; conn = next) {
		next = conn->next; /* saying it may close the connection */
		cx_conn_say_main_state(conn, 0, &m);
	}
}

static const struct cx_job_events start_events = {
	.started = on_started,
	.failed = on_failed,
	.exited = on_exited,
};

int cx_start_begin(struct cx_agent *agent, struct cx_conn_ref asker, struct cx_err *err)
{
	cx_autofd int in = -EBADF, in_writes = -EBADF, out = -EBADF, log = -EBADF;
	struct cx_start *start = &agent->start;
	struct cx_msg_exec exec = { .argv = agent->config.start };
	struct cx_tty *no_tty = NULL;

	if (start->log.added)
		return cx_refuse(err, CX_UNAVAILABLE, "the former start command is still ending");
	if (cx_pipe(&in, &in_writes, err) < 0 || cx_pipe(&log, &out, err) < 0 ||
	    cx_set_nonblock(log, true, err) < 0)
		return -err->errnum;
	cx_close(&in_writes); /* its input is at its end from the beginning */
	start->log = (struct cx_source){ .fd = log, .ready = log_ready };
	if (cx_loop_add(&agent->loop, &start->log, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&log);
	start->asker = asker;
	if (cx_job_start(agent, &exec, (const int[]){ in, out, out }, &no_tty, &start_events,
			 (struct cx_conn_ref){ 0 }, err) < 0) {
		cx_loop_drop(&agent->loop, &start->log);
		return cx_wrap(err, "start command");
	}
	agent->phase = CX_PHASE_STARTING;
	return 0;
}

int cx_start_status_request(struct cx_agent *agent, struct cx_conn_ref asker, struct cx_err *err)
{
	struct cx_msg_main_state m = state_of(&agent->start);

	(void)err;
	cx_conn_say_main_state(cx_conn_find(agent, asker.conn), asker.request, &m);
	return 0;
}

int cx_start_log_request(struct cx_agent *agent, struct cx_conn_ref asker,
			 const struct cx_msg_log_read *m, struct cx_err *err)
{
	CX_UNINITIALIZED char bytes[READ_SIZE];
	struct cx_msg_log_data data = { .offset = m->offset, .data.p = bytes };

	(void)err;
	data.data.len = (uint32_t)cx_ring_read(&agent->start.ring, &data.offset, bytes,
					       m->max < sizeof bytes ? m->max : sizeof bytes);
	data.end = agent->start.ring.end;
	cx_conn_say_log_data(cx_conn_find(agent, asker.conn), asker.request, &data);
	return 0;
}
