/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_JOB_H
#define CX_AGENT_JOB_H

#include <sys/resource.h>

#include "agent/agent.h"

/*
 * One command: from fork, over "it executed" or "it could not", to its end and the end of what its
 * timeout has to kill. Who starts it is told by callbacks: started, then exited; or failed. The job
 * is freed after exited or failed; it is found by number until then. With something done to a file
 * it is the same, "ready" in the place of "started"; why it failed behind that is in "said".
 */
struct cx_fileop;

struct cx_job_events {
	void (*started)(struct cx_job *job);
	void (*ready)(struct cx_job *job, const struct cx_msg_file_info *info);
	void (*failed)(struct cx_job *job, const struct cx_err *err);
	void (*exited)(struct cx_job *job, const struct cx_msg_exited *end);
};

struct cx_job {
	struct cx_agent *agent;
	const struct cx_job_events *events;
	struct cx_conn_ref asker; /* to whom the events are told */
	struct cx_source report;  /* see report.h */
	struct cx_timer timer;	  /* wall time; then the rounds of killing */
	struct cx_tty *tty;
	struct cx_group *group;
	pid_t first, pid; /* the forked child; the command, 0 as long as it is not known */
	int pidfd;	  /* of the command, for the host to ask how it ended; or -EBADF */
	uint64_t started_us;
	uint32_t timeout_ms; /* from when it executes; 0: none */
	unsigned rounds;     /* of killing */
	uint64_t early;	     /* signals asked for before it executed: bit N - 1 */
	bool starting, executed, failed, reaped, killing, late, timed_out, over;
	struct cx_msg_exited end;
	struct cx_err said;
	struct cx_job *next, **link;
};

/*
 * Forks. fds are 0 to 2 for the command, borrowed; with tty NULL no terminal. On success takes over
 * *tty. On failure nothing runs and no event follows.
 */
CX_MUST int cx_job_start(struct cx_agent *agent, const struct cx_msg_exec *exec, const int fds[3],
			 struct cx_tty **tty, const struct cx_job_events *events,
			 struct cx_conn_ref asker, struct cx_err *err);
/* The same for what is done to a file; data is its pipe, timeout_ms counts from "ready". */
CX_MUST int cx_job_start_file(struct cx_agent *agent, const struct cx_fileop *file,
			      const struct cx_msg_exec *as, int data,
			      const struct cx_job_events *events, struct cx_conn_ref asker,
			      struct cx_err *err);
struct cx_job *cx_job_find(const struct cx_agent *agent, struct cx_conn_ref asker);

/*
 * To the whole group; to a command that has not executed yet, as soon as it has. SIGKILL also
 * closes the group to new processes and goes on until it is empty.
 */
CX_MUST int cx_job_signal(struct cx_job *job, int signo, struct cx_err *err);

/* For reap.c, before a child is reaped: who has ended can still be opened. */
void cx_jobs_learn(struct cx_agent *agent);
/* A child ended. Nothing happens when it is not a job's main process. */
void cx_job_reaped(struct cx_agent *agent, pid_t pid, int status, const struct rusage *usage);

#endif
