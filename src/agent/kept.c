/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "agent/conn.h"
#include "agent/job.h"
#include "base/fd.h"
#include "base/list.h"

enum { READ_SIZE = 65536, READS_PER_ROUND = 8, READS_AT_END = 32 };

struct lane {
	struct cx_source source;
	struct cx_kept *kept;
	struct cx_kept_stream stream;
};

/* Somebody who waits for output; freed when he is answered. */
struct listener {
	struct cx_kept *kept;
	struct cx_conn_ref asker;
	uint32_t which, max;
	uint64_t offset;
	struct cx_timer timer;
	struct listener *next, **link;
};

struct cx_kept { /* freed when nothing holds it: the list, lanes */
	struct cx_agent *agent;
	char key[CX_EXEC_KEY_MAX + 1];
	struct cx_job *job; /* NULL: it has ended */
	bool started;
	uint32_t pid;
	struct cx_msg_exited end;
	int pidfd; /* when it has ended, for the host; or -EBADF */
	struct lane lanes[2];
	struct listener *listeners;
	unsigned holders;
	struct cx_kept *next; /* started, or ended, earlier */
};

/* ---- what is kept of a stream ---------------------------------------------------------------- */

void cx_kept_write(struct cx_kept_stream *stream, const void *data, size_t len)
{
	uint64_t at = stream->ring.end;

	if (at < CX_KEPT_HEAD)
		memcpy(stream->head + at, data,
		       len < CX_KEPT_HEAD - at ? len : (size_t)(CX_KEPT_HEAD - at));
	cx_ring_write(&stream->ring, data, len);
}

size_t cx_kept_read(const struct cx_kept_stream *stream, uint64_t *offset, void *out, size_t max)
{
	uint64_t head = stream->ring.end < CX_KEPT_HEAD ? stream->ring.end : CX_KEPT_HEAD;
	size_t n;

	if (*offset >= head || stream->ring.end <= CX_RING_SIZE)
		return cx_ring_read(&stream->ring, offset, out, max);
	n = head - *offset < max ? (size_t)(head - *offset) : max;
	memcpy(out, stream->head + *offset, n);
	return n;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void release(struct cx_kept *kept)
{
	if (--kept->holders > 0)
		return;
	cx_close(&kept->pidfd);
	free(kept);
}

static void lane_closed(struct cx_source *source)
{
	release(cx_container_of(source, struct lane, source)->kept);
}

static void answer_all(struct cx_kept *kept);

static void forget(struct cx_kept **at)
{
	struct cx_kept *kept = *at;

	answer_all(kept);
	*at = kept->next;
	kept->agent->nkept--;
	for (size_t i = 0; i < CX_LEN(kept->lanes); i++)
		if (kept->lanes[i].source.added)
			cx_loop_drop(&kept->agent->loop, &kept->lanes[i].source);
	release(kept);
}

static struct cx_kept **find(struct cx_agent *agent, struct cx_str key)
{
	struct cx_kept **at = &agent->kept;

	while (*at != NULL &&
	       (strlen((*at)->key) != key.len || memcmp((*at)->key, key.p, key.len) != 0))
		at = &(*at)->next;
	return at;
}

static struct cx_kept **of_job(struct cx_agent *agent, const struct cx_job *job)
{
	struct cx_kept **at = &agent->kept;

	while ((*at)->job != job) /* it is there */
		at = &(*at)->next;
	return at;
}

/* The one that ended first goes. */
static int make_room(struct cx_agent *agent, struct cx_err *err)
{
	struct cx_kept **oldest = NULL;

	if (agent->nkept < CX_KEPT_MAX)
		return 0;
	for (struct cx_kept **at = &agent->kept; *at != NULL; at = &(*at)->next)
		if ((*at)->job == NULL)
			oldest = at;
	if (oldest == NULL)
		return cx_refuse(
			err, CX_LIMIT,
			"%d commands run in this sandbox on their own; wait for one to end",
			CX_KEPT_MAX);
	forget(oldest);
	return 0;
}

/* ---- who waits for output -------------------------------------------------------------------- */

static void say_output(const struct cx_kept *kept, struct cx_conn_ref asker, uint32_t which,
		       uint64_t offset, uint32_t max)
{
	CX_UNINITIALIZED char bytes[READ_SIZE];
	const struct cx_kept_stream *stream = &kept->lanes[which].stream;
	struct cx_msg_log_data data = { .offset = offset, .data.p = bytes };

	data.data.len = (uint32_t)cx_kept_read(stream, &data.offset, bytes,
					       max < sizeof bytes ? max : sizeof bytes);
	data.end = stream->ring.end;
	cx_conn_say_log_data(cx_conn_find(kept->agent, asker.conn), asker.request, &data);
}

static void answer(struct listener *one)
{
	cx_timer_clear(&one->timer);
	cx_list_remove(one);
	one->kept->agent->nlisteners--;
	say_output(one->kept, one->asker, one->which, one->offset, one->max);
	free(one);
}

static void waited_enough(struct cx_timer *timer)
{
	answer(cx_container_of(timer, struct listener, timer));
}

static void answer_all(struct cx_kept *kept)
{
	while (kept->listeners != NULL)
		answer(kept->listeners);
}

/* Those for whom there is something now. */
static void answer_some(struct cx_kept *kept)
{
	struct listener *next;

	for (struct listener *one = kept->listeners; one != NULL; one = next) {
		next = one->next;
		if (kept->lanes[one->which].stream.ring.end > one->offset)
			answer(one);
	}
}

static int listen_for(struct cx_kept *kept, struct cx_conn_ref asker,
		      const struct cx_msg_exec_output *m, struct cx_err *err)
{
	struct cx_agent *agent = kept->agent;
	struct listener *one;

	if (agent->nlisteners >= CX_KEPT_LISTENERS_MAX)
		return cx_refuse(err, CX_LIMIT,
				 "%d requests wait for output in this sandbox already",
				 CX_KEPT_LISTENERS_MAX);
	one = calloc(1, sizeof *one);
	if (one == NULL)
		return cx_fail(err, ENOMEM, "wait for output");
	*one = (struct listener){ .kept = kept,
				  .asker = asker,
				  .which = m->which,
				  .max = m->max,
				  .offset = m->offset,
				  .timer = { .fire = waited_enough } };
	cx_list_add(&kept->listeners, one);
	agent->nlisteners++;
	cx_timer_set(&agent->loop, &one->timer, m->wait_ms);
	return 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void read_lane(struct lane *lane, int rounds)
{
	CX_UNINITIALIZED char bytes[READ_SIZE];

	for (int i = 0; i < rounds && lane->source.added && !lane->source.dead; i++) {
		ssize_t n = read(lane->source.fd, bytes, sizeof bytes);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			cx_kept_write(&lane->stream, bytes, (size_t)n);
		else
			cx_loop_drop(&lane->kept->agent->loop, &lane->source);
	}
}

static void lane_ready(struct cx_source *source, uint32_t events)
{
	struct lane *lane = cx_container_of(source, struct lane, source);

	(void)events;
	read_lane(lane, READS_PER_ROUND);
	answer_some(lane->kept);
}

/* *ret is the end that the command writes to. */
static int open_lane(struct cx_kept *kept, struct lane *lane, int *ret, struct cx_err *err)
{
	cx_autofd int reads = -EBADF;

	if (cx_pipe(&reads, ret, err) < 0 || cx_set_nonblock(reads, true, err) < 0)
		return -err->errnum;
	if (fchmod(*ret, 0666) < 0) /* /dev/stdout of whatever user */
		return cx_fail(err, errno, "change mode of a pipe");
	lane->kept = kept;
	lane->source =
		(struct cx_source){ .fd = reads, .ready = lane_ready, .destroy = lane_closed };
	if (cx_loop_add(&kept->agent->loop, &lane->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&reads);
	kept->holders++;
	return 0;
}

/* ---- its life -------------------------------------------------------------------------------- */

static struct cx_conn *asker_of(const struct cx_job *job)
{
	return cx_conn_find(job->agent, job->asker.conn);
}

static void on_started(struct cx_job *job)
{
	struct cx_kept *kept = *of_job(job->agent, job);
	struct cx_msg_started m = { .pid = (uint32_t)job->pid };

	kept->started = true;
	kept->pid = m.pid;
	cx_conn_say_started(asker_of(job), job->asker.request, &m);
}

static void on_failed(struct cx_job *job, const struct cx_err *err)
{
	forget(of_job(job->agent, job));
	cx_conn_refuse(asker_of(job), job->asker.request, err);
}

static void on_exited(struct cx_job *job, const struct cx_msg_exited *end)
{
	struct cx_kept **at = of_job(job->agent, job);
	struct cx_kept *kept = *at;

	for (size_t i = 0; i < CX_LEN(kept->lanes); i++) /* its last words come before its end */
		read_lane(&kept->lanes[i], READS_AT_END);
	kept->end = *end;
	kept->pidfd = cx_take_fd(&job->pidfd);
	kept->job = NULL;
	*at = kept->next; /* in front: of those that have ended the first to end is the last */
	kept->next = job->agent->kept;
	job->agent->kept = kept;
	answer_all(kept); /* saying it may close a connection */
	cx_conn_exited(asker_of(job), job->asker.request, end, kept->pidfd);
}

static const struct cx_job_events kept_events = {
	.started = on_started,
	.failed = on_failed,
	.exited = on_exited,
};

static int launch(struct cx_kept *kept, struct cx_conn_ref asker, const struct cx_msg_exec *m,
		  int in, struct cx_err *err)
{
	cx_autofd int out = -EBADF, errors = -EBADF;
	struct cx_tty *no_tty = NULL;

	if (open_lane(kept, &kept->lanes[0], &out, err) < 0 ||
	    open_lane(kept, &kept->lanes[1], &errors, err) < 0 ||
	    cx_job_start(kept->agent, m, (const int[]){ in, out, errors }, &no_tty, &kept_events,
			 asker, err) < 0)
		return -err->errnum;
	kept->job = cx_job_find(kept->agent, asker);
	return 0;
}

int cx_kept_start(struct cx_agent *agent, struct cx_conn_ref asker, const struct cx_msg_exec *m,
		  int in, struct cx_err *err)
{
	struct cx_kept *kept;

	if ((m->flags & (CX_EXEC_TTY | CX_EXEC_SFTP)) != 0)
		return cx_refuse(err, CX_INVALID, "such a command cannot be kept");
	if (*find(agent, m->key) != NULL)
		return cx_refuse(err, CX_CONFLICT, "there is a command of this name");
	if (make_room(agent, err) < 0)
		return -err->errnum;
	kept = calloc(1, sizeof *kept);
	if (kept == NULL)
		return cx_fail(err, ENOMEM, "command");
	kept->agent = agent;
	(void)cx_str_copy(m->key, kept->key, sizeof kept->key);
	kept->holders = 1;
	kept->pidfd = -EBADF;
	kept->next = agent->kept;
	agent->kept = kept;
	agent->nkept++;
	if (launch(kept, asker, m, in, err) == 0)
		return 0;
	forget(&agent->kept);
	return -err->errnum;
}

/* ---- who asks for one ------------------------------------------------------------------------ */

static struct cx_kept *named(struct cx_agent *agent, struct cx_str key, struct cx_err *err)
{
	struct cx_kept *kept = *find(agent, key);

	if (kept == NULL)
		(void)cx_refuse(err, CX_NOT_FOUND, "nothing is known of this command any more");
	return kept;
}

int cx_kept_watch_request(struct cx_agent *agent, struct cx_conn_ref asker,
			  const struct cx_msg_exec_watch *m, struct cx_err *err)
{
	struct cx_kept *kept = named(agent, m->key, err);
	struct cx_conn *conn = cx_conn_find(agent, asker.conn);
	struct cx_msg_started started;
	struct cx_msg_exited end;

	if (kept == NULL)
		return -err->errnum;
	if (kept->job != NULL)
		kept->job->asker = asker;
	if (!kept->started)
		return 0;
	started.pid = kept->pid;
	end = kept->end;
	cx_conn_say_started(conn, asker.request, &started);
	if (kept->job == NULL) /* saying it may have closed the connection */
		cx_conn_exited(cx_conn_find(agent, asker.conn), asker.request, &end, kept->pidfd);
	return 0;
}

int cx_kept_output_request(struct cx_agent *agent, struct cx_conn_ref asker,
			   const struct cx_msg_exec_output *m, struct cx_err *err)
{
	struct cx_kept *kept = named(agent, m->key, err);

	if (kept == NULL)
		return -err->errnum;
	if (m->wait_ms > 0 && kept->job != NULL &&
	    kept->lanes[m->which].stream.ring.end <= m->offset)
		return listen_for(kept, asker, m, err);
	say_output(kept, asker, m->which, m->offset, m->max);
	return 0;
}
