/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/blank.h"
#include "agent/claim.h"
#include "agent/dispatch.h"
#include "agent/reap.h"
#include "base/fd.h"

enum { ACCEPTS_PER_ROUND = 16, PAUSE_MS = 100, OVERFLOW_UID = 65534 };

struct listener {
	struct cx_source src;
	struct cx_timer pause;
	struct cx_agent *agent;
};

/* Who connected from within has a process id here; the host's processes have none, nor an own uid.
 */
static bool is_from_outside(int sock)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 0 &&
	       cred.uid == OVERFLOW_UID;
}

/* Out of descriptors or memory: the connection stays in the queue and must not make us spin. */
static void pause_listening(struct listener *listener)
{
	struct cx_err err;

	(void)!cx_loop_change(&listener->agent->loop, &listener->src, 0, &err);
	cx_timer_set(&listener->agent->loop, &listener->pause, PAUSE_MS);
}

static void resume(struct cx_timer *timer)
{
	struct listener *listener = cx_container_of(timer, struct listener, pause);
	struct cx_err err;

	if (cx_loop_change(&listener->agent->loop, &listener->src, EPOLLIN, &err) < 0)
		cx_timer_set(&listener->agent->loop, timer, PAUSE_MS);
}

static void accept_some(struct cx_source *src, uint32_t events)
{
	struct listener *listener = cx_container_of(src, struct listener, src);
	struct cx_err err;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		cx_autofd int sock = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				pause_listening(listener);
			return;
		}
		if (is_from_outside(sock))
			(void)!cx_conn_open(listener->agent, &sock, cx_dispatch, &err);
	}
}

static int listen_on(struct listener *listener, struct cx_agent *agent, int fd, struct cx_err *err)
{
	*listener = (struct listener){ .src = { .fd = fd, .ready = accept_some },
				       .pause = { .fire = resume },
				       .agent = agent };
	if (cx_set_nonblock(fd, true, err) < 0)
		return -err->errnum;
	return cx_loop_add(&agent->loop, &listener->src, EPOLLIN, err);
}

int cx_serve(struct cx_agent *agent, unsigned nwork, unsigned cpus, struct cx_err *err)
{
	struct listener listener;
	struct cx_reaper reaper;
	int work[CX_AGENT_WORK_MAX];

	agent->phase = CX_PHASE_BLANK;
	for (unsigned i = 0; i < nwork; i++)
		work[i] = CX_AGENT_FD_WORK + (int)i;
	if (cx_loop_open(&agent->loop, err) < 0 || cx_reap_open(&reaper, agent, err) < 0)
		return -err->errnum;
	cx_groups_init(&agent->groups, &agent->loop, work, nwork);
	if (cx_blank_prepare(&agent->blank, CX_AGENT_FD_DEV, cpus, work, nwork, err) < 0 ||
	    cx_claim_prepare(err) < 0)
		return cx_wrap(err, "prepare a blank");
	/* Last: a connection that is accepted proves that all of this was done. */
	if (listen_on(&listener, agent, CX_AGENT_FD_LISTEN, err) < 0)
		return -err->errnum;
	return cx_loop_run(&agent->loop, err);
}
