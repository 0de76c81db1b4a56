/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_SPAWN_H
#define CX_RUNTIME_SPAWN_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "net/slots.h"
#include "runtime/cgroup.h"

/*
 * The spawner: a small process in an almost empty mount namespace, holding no descriptor of any
 * sandbox, so that the cost of clone3 does not grow with their number.
 *
 * cx_spawner_start() executes `caisson-spawner` (path) from caissond; cx_spawn_ask() asks it for
 * one process, and cx_spawn_answer() takes the answer, which comes about a millisecond later: then
 * ->control can be read. Several may be asked for at a time; answers come in that order. router:
 * the network namespace that links are made to, or -EBADF.
 */
struct cx_spawner {
	int control; /* SOCK_SEQPACKET */
	int pidfd;
	pid_t pid;
};

struct cx_blank_plan {
	uint32_t uid_base;
	int listener;			 /* becomes CX_AGENT_FD_LISTEN */
	int dev;			 /* detached mount, becomes CX_AGENT_FD_DEV */
	const struct cx_cgroup *group;	 /* where the agent goes and what it inherits */
	const struct cx_slot_link *link; /* to the router; NULL: nothing but loopback */
};

/* One process that was made: the descriptors are the caller's. */
struct cx_spawned {
	pid_t pid;
	int pidfd, userns;
	int mounts; /* its mount namespace, which lives as long as somebody has it */
};

#define CX_SPAWNED_NONE                                             \
	{                                                           \
		.pidfd = -EBADF, .userns = -EBADF, .mounts = -EBADF \
	}

static inline void cx_spawned_close(struct cx_spawned *spawned)
{
	cx_close(&spawned->pidfd);
	cx_close(&spawned->userns);
	cx_close(&spawned->mounts);
}

CX_MUST int cx_spawner_start(const char *path, int agent_image, int filter, int router,
			     struct cx_spawner *ret, struct cx_err *err);
void cx_spawner_stop(struct cx_spawner *spawner);

/* What the plan has may be closed afterwards. The number comes back with the answer. */
CX_MUST int cx_spawn_ask(struct cx_spawner *spawner, uint32_t number,
			 const struct cx_blank_plan *plan, struct cx_err *err);
/*
 * Waits, bounded by a timeout. The process is a child of the caller. Its agent is up when it
 * accepts and says agent_hello. On failure *ret_lost says that there was no answer, nor will there
 * be to what was asked since: stop it, start another.
 */
CX_MUST int cx_spawn_answer(struct cx_spawner *spawner, uint32_t number, struct cx_spawned *ret,
			    bool *ret_lost, struct cx_err *err);

/* main() of caisson-spawner behind its option parsing: serves until its control socket closes. */
CX_MUST int cx_spawner_serve(int control, int agent_image, int filter, int router,
			     struct cx_err *err);

#endif
