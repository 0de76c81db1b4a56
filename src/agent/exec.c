/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exec.h"

#include "agent/job.h"
#include "agent/kept.h"
#include "agent/tty.h"

static void tell_started(struct cx_job *job)
{
	struct cx_msg_started m = { .pid = (uint32_t)job->pid };

	cx_conn_say_started(cx_conn_find(job->agent, job->asker.conn), job->asker.request, &m);
}

static void tell_failed(struct cx_job *job, const struct cx_err *err)
{
	cx_conn_refuse(cx_conn_find(job->agent, job->asker.conn), job->asker.request, err);
}

static void tell_exited(struct cx_job *job, const struct cx_msg_exited *end)
{
	cx_conn_exited(cx_conn_find(job->agent, job->asker.conn), job->asker.request, end,
		       job->pidfd);
}

static const struct cx_job_events tell_asker = {
	.started = tell_started,
	.failed = tell_failed,
	.exited = tell_exited,
};

static void free_tty(struct cx_tty **tty)
{
	cx_tty_free(*tty);
}

int cx_exec_request(struct cx_agent *agent, struct cx_conn_ref asker, const struct cx_msg_exec *m,
		    int *fds, unsigned nfds, struct cx_err *err)
{
	CX_AUTO(free_tty) struct cx_tty *tty = NULL;
	cx_autofd int slave = -EBADF;
	bool wants_tty = (m->flags & CX_EXEC_TTY) != 0;
	bool shell = (m->flags & CX_EXEC_SHELL) != 0;

	if (nfds != (wants_tty || m->key.len > 0 ? 1 : 3))
		return cx_refuse(err, CX_INVALID, "%u descriptors came with the command", nfds);
	if (shell && cx_strv_count(m->argv) != 1)
		return cx_refuse(err, CX_INVALID, "a shell command is one text");
	if (wants_tty && (m->flags & CX_EXEC_SFTP) != 0)
		return cx_refuse(err, CX_INVALID, "SFTP is not spoken on a terminal");
	if (cx_job_find(agent, asker) != NULL)
		return cx_refuse(err, CX_INVALID, "a command with number %u is running",
				 asker.request);
	if (m->key.len > 0)
		return cx_kept_start(agent, asker, m, fds[0], err);
	if (!wants_tty)
		return cx_job_start(agent, m, fds, &tty, &tell_asker, asker, err);
	if (cx_tty_open(&agent->loop, agent->blank.devpts, &fds[0], m->rows, m->cols, &tty, &slave,
			err) < 0)
		return -err->errnum;
	return cx_job_start(agent, m, (const int[]){ slave, slave, slave }, &tty, &tell_asker,
			    asker, err);
}

static struct cx_job *find(const struct cx_agent *agent, struct cx_conn_ref asker, uint32_t number,
			   struct cx_err *err)
{
	struct cx_conn_ref ref = { .conn = asker.conn, .request = number };
	struct cx_job *job = cx_job_find(agent, ref);

	if (job == NULL)
		(void)cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	return job;
}

int cx_exec_signal_request(struct cx_agent *agent, struct cx_conn_ref asker,
			   const struct cx_msg_exec_signal *m, struct cx_err *err)
{
	struct cx_job *job = find(agent, asker, m->exec, err);

	if (job == NULL)
		return -err->errnum;
	if (m->signo == 0)
		return cx_refuse(err, CX_INVALID, "signal 0");
	if (cx_job_signal(job, (int)m->signo, err) < 0)
		return -err->errnum;
	cx_conn_ok(cx_conn_find(agent, asker.conn), asker.request);
	return 0;
}

int cx_exec_resize_request(struct cx_agent *agent, struct cx_conn_ref asker,
			   const struct cx_msg_exec_resize *m, struct cx_err *err)
{
	struct cx_job *job = find(agent, asker, m->exec, err);

	if (job == NULL)
		return -err->errnum;
	if (job->tty == NULL)
		return cx_refuse(err, CX_CONFLICT, "the command has no terminal");
	if (cx_tty_resize(job->tty, m->rows, m->cols, err) < 0)
		return -err->errnum;
	cx_conn_ok(cx_conn_find(agent, asker.conn), asker.request);
	return 0;
}
