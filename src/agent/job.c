/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/child.h"
#include "agent/conn.h"
#include "agent/report.h"
#include "agent/tty.h"
#include "base/fd.h"
#include "base/list.h"

/* A killed process may still have to leave the kernel; after this long we no longer wait for it. */
enum { KILL_ROUND_MS = 10, KILL_ROUNDS = 200 };

/* What somebody inside stops or starves must not keep others from being started. */
enum { START_MS = 30000 };

static void unlink_job(struct cx_job *job)
{
	cx_list_remove(job);
	job->agent->njobs--;
}

static void link_job(struct cx_job *job)
{
	struct cx_agent *agent = job->agent;

	cx_list_add(&agent->jobs, job);
	agent->njobs++;
}

/*
 * Until it executes, a child costs the agent's own group memory. So only a few are on the way at a
 * time; the requests of others wait in their sockets.
 */
static void set_starting(struct cx_job *job, bool on)
{
	struct cx_agent *agent = job->agent;

	if (job->starting == on)
		return;
	job->starting = on;
	agent->starting += on ? 1 : -1;
	cx_conns_hold(agent, agent->starting >= CX_AGENT_STARTING_MAX);
}

static void destroy_report(struct cx_source *src)
{
	struct cx_job *job = cx_container_of(src, struct cx_job, report);

	if (job->over)
		free(job);
}

/* The job's last moment; its memory stays until the loop has let go of the report pipe. */
static void finish(struct cx_job *job)
{
	struct cx_agent *agent = job->agent;

	job->over = true;
	set_starting(job, false);
	cx_timer_clear(&job->timer);
	cx_close(&job->pidfd);
	cx_tty_free(job->tty);
	cx_group_release(&agent->groups, job->group);
	unlink_job(job);
	if (job->report.added)
		cx_loop_drop(&agent->loop, &job->report);
	else
		free(job);
}

static void tell_exit(void *arg)
{
	struct cx_job *job = arg;

	job->events->exited(job, &job->end);
	finish(job);
}

static void conclude(struct cx_job *job)
{
	if (job->failed)
		finish(job);
	else if (job->tty != NULL)
		cx_tty_drain(job->tty, tell_exit, job);
	else
		tell_exit(job);
}

static void kill_round(struct cx_timer *timer)
{
	struct cx_job *job = cx_container_of(timer, struct cx_job, timer);

	if (!job->executed && !job->failed) /* it may not have joined its group yet */
		(void)kill(job->first, SIGKILL);
	if (!cx_group_empty(&job->agent->groups, job->group))
		cx_group_kill(&job->agent->groups, job->group);
	else if (job->reaped && !job->starting) {
		conclude(job);
		return;
	}
	if (++job->rounds < KILL_ROUNDS)
		cx_timer_set(&job->agent->loop, &job->timer, KILL_ROUND_MS);
	else if (job->reaped && !job->starting)
		conclude(job);
}

/* The pid stays in the pipe until it is of use: waking up for it would only delay the command. */
static void learn_pid(struct cx_job *job)
{
	if (job->pid != 0 || !job->starting ||
	    read(job->report.fd, &job->pid, sizeof job->pid) != (ssize_t)sizeof job->pid)
		return;
	job->group->leader = job->pid;
	if (job->events->ready == NULL)
		job->pidfd = (int)syscall(SYS_pidfd_open, job->pid, 0);
}

void cx_jobs_learn(struct cx_agent *agent)
{
	if (agent->starting == 0)
		return;
	for (struct cx_job *job = agent->jobs; job != NULL; job = job->next)
		learn_pid(job);
}

static void kill_all(struct cx_job *job)
{
	learn_pid(job);
	job->killing = true;
	cx_timer_clear(&job->timer);
	job->timer.fire = kill_round;
	cx_group_kill(&job->agent->groups, job->group);
	kill_round(&job->timer);
}

static void time_is_up(struct cx_timer *timer)
{
	struct cx_job *job = cx_container_of(timer, struct cx_job, timer);

	job->late = job->starting;
	job->timed_out = !job->late;
	kill_all(job);
}

static void ended(struct cx_job *job)
{
	if (job->killing && job->timer.link != NULL) /* it concludes when the whole group is gone */
		return;
	cx_timer_clear(&job->timer);
	conclude(job);
}

static void adopt(struct cx_err *err, const struct cx_err *said)
{
	(void)cx_err_adopt(err, said->kind, said->refused ? 0 : (uint32_t)said->errnum, said->msg,
			   strnlen(said->msg, sizeof said->msg));
}

static void report_error(struct cx_job *job, const struct cx_err *said)
{
	struct cx_err err = { 0 };

	job->failed = true;
	adopt(&err, said);
	job->events->failed(job, &err);
	if (job->pid == 0) /* there is no command whose end could be waited for */
		job->reaped = true;
	if (job->reaped)
		finish(job);
}

/* Until it executes START_MS, then the time that was asked for; 0 is without end. */
static void arm(struct cx_job *job, uint32_t timeout_ms)
{
	if (job->killing)
		return;
	cx_timer_clear(&job->timer);
	if (timeout_ms > 0)
		cx_timer_set(&job->agent->loop, &job->timer, timeout_ms);
}

static void send_early(struct cx_job *job)
{
	struct cx_err ignored; /* it has ended: nobody is left to hear it */

	for (int signo = 1; job->early != 0 && signo <= SIGRTMAX; signo++)
		if ((job->early >> (signo - 1) & 1) != 0)
			(void)!cx_job_signal(job, signo, &ignored);
}

static void report_end(struct cx_job *job)
{
	static const struct cx_err late = {
		.kind = CX_TIMEOUT,
		.refused = 1,
		.msg = "it could not be started within 30 s; the sandbox is overloaded",
	};
	static const struct cx_err killed = {
		.kind = CX_LIMIT,
		.refused = 1,
		.msg = "it was killed while it was started; the sandbox may be out of memory",
	};

	if (job->pid == 0 || job->late || job->events->ready != NULL) {
		report_error(job, job->late ? &late : &killed);
		return;
	}
	job->executed = true;
	arm(job, job->timeout_ms);
	job->events->started(job);
	send_early(job);
	cx_group_prepare(&job->agent->groups, job->group);
	if (job->reaped)
		ended(job);
}

static void report_file_ready(struct cx_job *job, const struct cx_msg_file_info *info)
{
	set_starting(job, false);
	job->executed = true;
	arm(job, job->timeout_ms);
	job->events->ready(job, info);
	cx_group_prepare(&job->agent->groups, job->group);
}

/* Every part of a report was written at once, so none is ever cut. True: there may be more. */
static bool read_report(struct cx_job *job)
{
	struct cx_report report;
	ssize_t n;

	learn_pid(job);
	n = read(job->report.fd, &report, sizeof report);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0 && report.what == CX_REPORT_READY) {
		if (job->starting && job->events->ready != NULL)
			report_file_ready(job, &report.info);
		return true;
	}
	cx_loop_drop(&job->agent->loop, &job->report);
	if (job->executed && n > 0)
		adopt(&job->said, &report.err);
	if (job->executed)
		return false;
	set_starting(job, false);
	if (n > 0)
		report_error(job, &report.err);
	else
		report_end(job);
	return false;
}

static void read_reports(struct cx_job *job)
{
	while (read_report(job))
		;
}

static void report_ready(struct cx_source *src, uint32_t events)
{
	(void)events;
	read_reports(cx_container_of(src, struct cx_job, report));
}

/*
 * fork(2) would see to libc's own affairs, in five pages that the child needs for nothing else, and
 * each of which it would have to copy.
 */
static pid_t fork_child(const struct cx_child_plan *plan, struct cx_err *err)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		cx_child_run(plan);
	if (pid < 0 && errno == EAGAIN)
		return cx_refuse(err, CX_LIMIT, "too many processes are being started");
	return pid < 0 ? cx_fail(err, errno, "make a process") : pid;
}

/* Everything that can fail happens before the fork. */
static int launch(struct cx_job *job, struct cx_child_plan *plan, struct cx_err *err)
{
	struct cx_agent *agent = job->agent;
	cx_autofd int reads = -EBADF, writes = -EBADF;

	if (cx_pipe(&reads, &writes, err) < 0 || cx_set_nonblock(reads, true, err) < 0)
		return -err->errnum;
	job->report =
		(struct cx_source){ .fd = reads, .ready = report_ready, .destroy = destroy_report };
	/* The end of a report is told unasked, and a command has little else to say. */
	if (cx_loop_add(&agent->loop, &job->report, plan->file != NULL ? EPOLLIN : 0, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&reads);
	plan->report = writes;
	job->started_us = cx_now_us();
	job->first = fork_child(plan, err);
	if (job->first < 0)
		return job->first;
	job->group->leader = job->first;
	set_starting(job, true);
	arm(job, START_MS);
	return 0;
}

static int start(struct cx_agent *agent, struct cx_child_plan *plan,
		 const struct cx_job_events *events, struct cx_conn_ref asker, struct cx_job **ret,
		 struct cx_err *err)
{
	struct cx_job *job;

	if (agent->njobs >= CX_AGENT_JOBS_MAX)
		return cx_refuse(err, CX_LIMIT,
				 "%d commands are running in this sandbox; wait for "
				 "one to end",
				 CX_AGENT_JOBS_MAX);
	job = calloc(1, sizeof *job);
	if (job == NULL)
		return cx_fail(err, ENOMEM, "command");
	*job = (struct cx_job){ .agent = agent,
				.events = events,
				.asker = asker,
				.pidfd = -EBADF,
				.timeout_ms = plan->exec->timeout_ms,
				.timer = { .fire = time_is_up } };
	if (cx_group_take(&agent->groups, plan->exec->slot, &job->group, err) < 0) {
		free(job);
		return -err->errnum;
	}
	plan->config = &agent->config;
	plan->groups = &agent->groups;
	plan->group = job->group;
	link_job(job);
	if (launch(job, plan, err) < 0) {
		finish(job);
		return -err->errnum;
	}
	*ret = job;
	return 0;
}

int cx_job_start(struct cx_agent *agent, const struct cx_msg_exec *exec, const int fds[3],
		 struct cx_tty **tty, const struct cx_job_events *events, struct cx_conn_ref asker,
		 struct cx_err *err)
{
	struct cx_child_plan plan = { .exec = exec,
				      .fds = { fds[0], fds[1], fds[2] },
				      .tty = *tty != NULL };
	struct cx_job *job;

	if (start(agent, &plan, events, asker, &job, err) < 0)
		return -err->errnum;
	job->tty = cx_take_ptr(tty);
	return 0;
}

int cx_job_start_file(struct cx_agent *agent, const struct cx_fileop *file,
		      const struct cx_msg_exec *as, int data, const struct cx_job_events *events,
		      struct cx_conn_ref asker, struct cx_err *err)
{
	struct cx_child_plan plan = { .exec = as, .file = file, .fds = { data, data, data } };
	struct cx_job *job;

	return start(agent, &plan, events, asker, &job, err);
}

struct cx_job *cx_job_find(const struct cx_agent *agent, struct cx_conn_ref asker)
{
	for (struct cx_job *job = agent->jobs; job != NULL; job = job->next)
		if (job->asker.conn == asker.conn && job->asker.request == asker.request)
			return job;
	return NULL;
}

int cx_job_signal(struct cx_job *job, int signo, struct cx_err *err)
{
	if (job->reaped || job->failed)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	if (signo == SIGKILL) {
		if (!job->killing)
			kill_all(job);
		return 0;
	}
	if (job->starting) { /* our own code still runs there, with every signal blocked */
		job->early |= UINT64_C(1) << (signo - 1);
		return 0;
	}
	if (job->tty != NULL && cx_tty_signal(job->tty, signo))
		return 0;
	if (cx_group_signal(&job->agent->groups, job->group, signo) == 0 &&
	    kill(job->pid, signo) < 0)
		return cx_fail(err, errno, "signal %d", signo);
	return 0;
}

static void record_end(struct cx_job *job, int status, const struct rusage *usage)
{
	struct cx_msg_exited *end = &job->end;

	end->how = CX_EXITED_CODE;
	end->status = (uint32_t)WEXITSTATUS(status);
	if (WIFSIGNALED(status)) {
		end->how = CX_EXITED_SIGNAL;
		end->status = (uint32_t)WTERMSIG(status);
	}
	if (job->timed_out)
		end->how = CX_EXITED_TIMEOUT;
	end->user_us =
		(uint64_t)usage->ru_utime.tv_sec * 1000000 + (uint64_t)usage->ru_utime.tv_usec;
	end->system_us =
		(uint64_t)usage->ru_stime.tv_sec * 1000000 + (uint64_t)usage->ru_stime.tv_usec;
	end->wall_us = cx_now_us() - job->started_us;
	end->max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024;
}

static struct cx_job *find_pid(const struct cx_agent *agent, pid_t pid)
{
	struct cx_job *job = agent->jobs;

	while (job != NULL && (job->reaped || job->pid != pid))
		job = job->next;
	return job;
}

void cx_job_reaped(struct cx_agent *agent, pid_t pid, int status, const struct rusage *usage)
{
	struct cx_job *job = find_pid(agent, pid);

	if (job == NULL) { /* it may have ended before we came to read who it is */
		cx_jobs_learn(agent);
		job = find_pid(agent, pid);
	}
	if (job == NULL)
		return;
	if (!job->report.dead)
		read_reports(job);
	job->reaped = true;
	record_end(job, status, usage);
	if (!job->starting) /* else the first child still holds the report open, for an instant */
		ended(job);
}
