/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spawn.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/spawn_msgs.h"
#include "runtime/process.h"

enum { ANSWER_S = 2, MAX_FDS = 4 + 2 * CX_CGROUP_TREES_MAX };
static_assert((int)MAX_FDS <= (int)CX_PACKET_FDS_MAX, "a blank's descriptors fit in one packet");

static int make_pair(int *ret_ours, int *ret_theirs, struct cx_err *err)
{
	struct timeval wait = { .tv_sec = ANSWER_S };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0)
		return cx_fail(err, errno, "set a timeout");
	return 0;
}

int cx_spawner_start(const char *path, int agent_image, int filter, int router,
		     struct cx_spawner *ret, struct cx_err *err)
{
	char name[] = "caisson-spawner", *argv[] = { name, NULL }, *envp[] = { NULL };
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	struct cx_spawner started = { .control = -EBADF, .pidfd = -EBADF };

	if (make_pair(&ours, &theirs, err) < 0)
		return -err->errnum;
	{
		const int fds[] = { -EBADF,	 -EBADF, STDERR_FILENO, theirs,
				    agent_image, filter, router };
		const struct cx_process_plan plan = { .path = path,
						      .argv = argv,
						      .envp = envp,
						      .fds = fds,
						      .nfds = CX_LEN(fds) - (router < 0),
						      .die_with_parent = 1 };

		if (cx_process_start(&plan, &started.pid, &started.pidfd, err) < 0)
			return -err->errnum;
	}
	started.control = cx_take_fd(&ours);
	*ret = started;
	return 0;
}

void cx_spawner_stop(struct cx_spawner *spawner)
{
	siginfo_t info;

	cx_close(&spawner->control);
	if (spawner->pidfd < 0)
		return;
	(void)syscall(SYS_pidfd_send_signal, spawner->pidfd, SIGKILL, NULL, 0);
	(void)waitid(P_PIDFD, (id_t)spawner->pidfd, &info, WEXITED);
	cx_close(&spawner->pidfd);
}

static unsigned collect_fds(const struct cx_blank_plan *plan, int *fds)
{
	const struct cx_cgroup *group = plan->group;
	unsigned n = 0;

	fds[n++] = plan->listener;
	fds[n++] = plan->dev;
	for (unsigned i = 0; i < group->ntasks; i++)
		fds[n++] = group->tasks[i];
	if (group->ns >= 0)
		fds[n++] = group->ns;
	for (unsigned i = 0; i < group->n; i++)
		fds[n++] = group->work[i];
	return n;
}

/* What the spawner had made before it failed. It may be an agent by now, which does not end. */
static void end_child(pid_t pid)
{
	siginfo_t info;

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		return; /* none of ours */
	(void)kill(pid, SIGKILL);
	(void)waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL);
}

static int take_answer(struct cx_packet *pkt, struct cx_spawned *ret, bool *ret_lost,
		       struct cx_err *err)
{
	struct cx_msg_spawn_error error;
	struct cx_msg_spawned spawned;

	if (pkt->type == CX_MSG_spawn_error && cx_msg_spawn_error_get(&pkt->body, &error)) {
		if (error.pid > 0)
			end_child((pid_t)error.pid);
		return cx_err_adopt(err, error.kind, error.errnum, error.text.p, error.text.len);
	}
	if (pkt->type != CX_MSG_spawned || pkt->nfds != 3 ||
	    !cx_msg_spawned_get(&pkt->body, &spawned)) {
		*ret_lost = true;
		return cx_refuse(err, CX_INTERNAL, "the spawner sent a malformed answer");
	}
	*ret = (struct cx_spawned){ .pid = (pid_t)spawned.pid,
				    .pidfd = cx_take_fd(&pkt->fds[0]),
				    .userns = cx_take_fd(&pkt->fds[1]),
				    .mounts = cx_take_fd(&pkt->fds[2]) };
	return 0;
}

static void put_link(const struct cx_slot_link *link, struct cx_msg_spawn *msg)
{
	bool ip6 = !IN6_IS_ADDR_UNSPECIFIED(&link->address6);

	msg->link = 1;
	msg->slot = link->slot;
	msg->index = link->index;
	msg->mtu = link->mtu;
	msg->bandwidth = link->bandwidth;
	msg->address4 = (struct cx_str){ (const char *)&link->address4, 4 };
	msg->address6 = (struct cx_str){ (const char *)&link->address6, ip6 ? 16 : 0 };
}

int cx_spawn_ask(struct cx_spawner *spawner, uint32_t number, const struct cx_blank_plan *plan,
		 struct cx_err *err)
{
	struct cx_msg_spawn msg = { .uid_base = plan->uid_base,
				    .ntasks = plan->group->ntasks,
				    .has_ns = plan->group->ns >= 0,
				    .nwork = plan->group->n };
	int fds[MAX_FDS];

	if (plan->link != NULL)
		put_link(plan->link, &msg);
	if (cx_msg_spawn_send(spawner->control, number, &msg, fds, collect_fds(plan, fds), err) < 0)
		return cx_wrap(err, "ask the spawner");
	return 0;
}

static int receive(int control, uint32_t number, struct cx_packet *ret, struct cx_err *err)
{
	int r = cx_packet_recv(control, ret, err);

	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the spawner ended");
	if (r > 0 && ret->request != number) {
		cx_packet_drop(ret);
		r = cx_refuse(err, CX_INTERNAL, "it is for %u instead of %u", ret->request, number);
	}
	return r < 0 ? cx_wrap(err, "the spawner's answer") : 0;
}

int cx_spawn_answer(struct cx_spawner *spawner, uint32_t number, struct cx_spawned *ret,
		    bool *ret_lost, struct cx_err *err)
{
	CX_UNINITIALIZED struct cx_packet pkt;
	int r;

	*ret_lost = receive(spawner->control, number, &pkt, err) < 0;
	if (*ret_lost)
		return -err->errnum;
	r = take_answer(&pkt, ret, ret_lost, err);
	cx_packet_drop(&pkt);
	return r < 0 ? cx_wrap(err, "start a blank") : 0;
}
