/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_GROUP_H
#define CX_AGENT_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "proto/agent_msgs.h"

/*
 * The control group of one command, below the inherited "work" directory, work[0]: what a command
 * cannot leave, whatever it forks, so signals and timeouts reach all of it. It is the slot cmd-N
 * that the host made, has chosen and counts by, or without one exec-N, made here. In the other
 * trees of v1 a slot has a group of the same name where work[1..] are directories; else, and where
 * they are "tasks" files, open, all share "work". Without any directory (tests) the command's
 * process group takes its place.
 */
enum { CX_GROUP_PATH_SIZE = 48 };

struct cx_group {
	uint32_t number;
	bool is_slot; /* number is that of the slot, which stays when the command ends */
	pid_t leader; /* the command's first process, set by who starts it */
	bool spent;   /* was closed to new processes: not for another command */
	char tasks[CX_GROUP_PATH_SIZE]; /* who writes 0 to it, below "work", is in the group */
	struct cx_group *next;
};

struct cx_groups {
	int work[CX_AGENT_WORK_MAX];
	bool is_dir[CX_AGENT_WORK_MAX];
	int kept[CX_AGENT_WORK_MAX]; /* open "tasks" of slot 1, or -EBADF */
	unsigned n;
	bool v2;
	uint32_t last_number;
	struct cx_group *spare;	    /* made ahead, or empty again; a few */
	struct cx_group *leftovers; /* their command ended, children that it detached live on */
	unsigned nspare;
	struct cx_loop *loop;
	struct cx_timer sweep;
};

/* work[0..n) stay open as long as groups is used. */
void cx_groups_init(struct cx_groups *groups, struct cx_loop *loop, const int *work, unsigned n);

/* A group that nobody is in: a spare one or a new one, with the slot (0: none). */
CX_MUST int cx_group_take(struct cx_groups *groups, uint32_t slot, struct cx_group **ret,
			  struct cx_err *err);
/* For the next command, now that one has begun in that group; failing is no harm. */
void cx_group_prepare(struct cx_groups *groups, const struct cx_group *begun);
/* Its command ended. The group is used again, removed, or removed when its last process has gone.
 */
void cx_group_release(struct cx_groups *groups, struct cx_group *group);

/* For the child: moves the calling process into the group. */
CX_MUST int cx_group_join(const struct cx_groups *groups, const struct cx_group *group,
			  struct cx_err *err);

/* Sends a signal to every process in it (other than the agent); returns how many got it. */
unsigned cx_group_signal(const struct cx_groups *groups, const struct cx_group *group, int signo);
/* Forbids new processes and kills all. Call again until cx_group_empty(): v1 can miss a fork. */
void cx_group_kill(const struct cx_groups *groups, struct cx_group *group);
bool cx_group_empty(const struct cx_groups *groups, const struct cx_group *group);

#endif
