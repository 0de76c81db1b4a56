/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/child.h"

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct cx_child {
	struct cx_source source;
	struct cx_loop *loop;
	cx_child_exited *exited;
	void *owner;
};

static void destroy(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_child, source));
}

static void reap(struct cx_source *source, uint32_t events)
{
	struct cx_child *child = cx_container_of(source, struct cx_child, source);
	struct cx_child_end end = { 0 };
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG | __WALL) == 0)
		end = (struct cx_child_end){ .code = info.si_code, .status = info.si_status };
	cx_loop_drop(child->loop, source);
	if (child->exited != NULL)
		child->exited(child->owner, &end);
}

int cx_child_adopt(struct cx_loop *loop, int *pidfd, cx_child_exited *exited, void *owner,
		   struct cx_child **ret, struct cx_err *err)
{
	struct cx_child *child = calloc(1, sizeof *child);

	if (child == NULL)
		return cx_fail(err, ENOMEM, "watch a process");
	*child = (struct cx_child){
		.source = { .fd = *pidfd, .ready = reap, .destroy = destroy },
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
