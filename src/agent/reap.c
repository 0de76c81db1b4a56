/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reap.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "agent/job.h"

/* Somebody inside may make orphans as fast as the kernel does; others wait for an answer meanwhile.
 */
enum { REAPED_PER_ROUND = 256 };

static void reap(struct cx_reaper *reaper)
{
	for (int i = 0; i < REAPED_PER_ROUND; i++) {
		struct rusage usage;
		int status = 0;
		pid_t pid;

		cx_jobs_learn(reaper->agent);
		pid = wait4(-1, &status, WNOHANG | __WALL, &usage);
		if (pid <= 0)
			return;
		cx_job_reaped(reaper->agent, pid, status, &usage);
	}
	cx_timer_set(&reaper->agent->loop, &reaper->more, 0);
}

static void more(struct cx_timer *timer)
{
	reap(cx_container_of(timer, struct cx_reaper, more));
}

/* Emptied before reaping: a child that ends in between makes it readable again. */
static void ready(struct cx_source *src, uint32_t events)
{
	struct signalfd_siginfo info[8];

	(void)events;
	(void)!read(src->fd, info, sizeof info);
	reap(cx_container_of(src, struct cx_reaper, src));
}

int cx_reap_open(struct cx_reaper *reaper, struct cx_agent *agent, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	sigset_t all, child;

	(void)sigfillset(&all);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return cx_fail(err, errno, "block signals");
	fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return cx_fail(err, errno, "signalfd");
	*reaper = (struct cx_reaper){ .src = { .fd = fd, .ready = ready },
				      .more = { .fire = more },
				      .agent = agent };
	if (cx_loop_add(&agent->loop, &reaper->src, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&fd);
	return 0;
}
