/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/child.h"

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 200, LOOKS = 300 };

struct cx_child {
	struct cx_source source;
	struct cx_timer later; /* looks again whether it can be reaped */
	unsigned looks;
	struct cx_loop *loop;
	cx_child_exited *exited;
	void *owner;
};

static void destroy(struct cx_source *source)
{
	struct cx_child *child = cx_container_of(source, struct cx_child, source);

	cx_timer_clear(&child->later);
	free(child);
}

/* False: a tracer has to hear of its end first. */
static bool reap(struct cx_child *child, struct cx_child_end *ret)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)child->source.fd, &info, WEXITED | WNOHANG | __WALL) < 0)
		return true; /* not ours */
	*ret = (struct cx_child_end){ .code = info.si_code, .status = info.si_status };
	return info.si_pid != 0;
}

static void look_again(struct cx_timer *timer)
{
	struct cx_child *child = cx_container_of(timer, struct cx_child, later);
	struct cx_child_end ignored;

	if (reap(child, &ignored) || ++child->looks == LOOKS)
		cx_loop_drop(child->loop, &child->source);
	else
		cx_timer_set(child->loop, timer, LOOK_MS);
}

static void ended(struct cx_source *source, uint32_t events)
{
	struct cx_child *child = cx_container_of(source, struct cx_child, source);
	cx_child_exited *exited = child->exited;
	struct cx_child_end end = { 0 };
	struct cx_err ignored;

	(void)events;
	child->exited = NULL;
	if (reap(child, &end) || cx_loop_change(child->loop, source, 0, &ignored) < 0)
		cx_loop_drop(child->loop, source);
	else
		cx_timer_set(child->loop, &child->later, LOOK_MS);
	if (exited != NULL)
		exited(child->owner, &end);
}

int cx_child_adopt(struct cx_loop *loop, int *pidfd, cx_child_exited *exited, void *owner,
		   struct cx_child **ret, struct cx_err *err)
{
	struct cx_child *child = calloc(1, sizeof *child);

	if (child == NULL)
		return cx_fail(err, ENOMEM, "watch a process");
	*child = (struct cx_child){
		.source = { .fd = *pidfd, .ready = ended, .destroy = destroy },
		.later = { .fire = look_again },
		.loop = loop,
		.exited = exited,
		.owner = owner,
	};
	if (cx_loop_add(loop, &child->source, EPOLLIN, err) < 0) {
		free(child);
		return -err->errnum;
	}
	*pidfd = -EBADF;
	*ret = child;
	return 0;
}

int cx_child_start(struct cx_loop *loop, const struct cx_process_plan *plan,
		   cx_child_exited *exited, void *owner, struct cx_child **ret, struct cx_err *err)
{
	cx_autofd int pidfd = -EBADF;
	pid_t pid;

	if (cx_process_start(plan, &pid, &pidfd, err) < 0)
		return -err->errnum;
	if (cx_child_adopt(loop, &pidfd, exited, owner, ret, err) < 0) {
		siginfo_t info;

		(void)kill(pid, SIGKILL);
		(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
		return -err->errnum;
	}
	return 0;
}

void cx_child_signal(struct cx_child *child, int signo)
{
	(void)syscall(SYS_pidfd_send_signal, child->source.fd, signo, NULL, 0);
}

int cx_child_pidfd(const struct cx_child *child)
{
	return child->source.fd;
}

void cx_child_forget(struct cx_child *child, bool kill)
{
	if (child == NULL)
		return;
	child->exited = NULL;
	if (kill)
		cx_child_signal(child, SIGKILL);
	else
		cx_loop_drop(child->loop, &child->source);
}

const char *cx_child_describe(const struct cx_child_end *end, char *buf, size_t size)
{
	if (end->code == CLD_EXITED)
		(void)snprintf(buf, size, "exited with status %d", end->status);
	else if (end->code == CLD_KILLED || end->code == CLD_DUMPED)
		(void)snprintf(buf, size, "killed by signal %d", end->status);
	else
		(void)snprintf(buf, size, "ended");
	return buf;
}
