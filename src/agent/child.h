/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CHILD_H
#define CX_AGENT_CHILD_H

#include "agent/agent.h"

/* What a freshly forked child needs to become a command. Views and descriptors are borrowed. */
struct cx_child_plan {
	const struct cx_config *config;
	const struct cx_groups *groups;
	const struct cx_group *group;
	const struct cx_msg_exec *exec;
	int fds[3]; /* what become descriptors 0 to 2 */
	bool tty;   /* they are a terminal, to be the controlling one */
	int report;
};

/*
 * What comes through the report pipe: the command's pid_t, then either a struct cx_err (it is not
 * going to run) or the end (it was executed). The end without a pid: killed before it got so far.
 *
 * Runs in a forked child, in its own copy of memory, charged to the sandbox: so everything that
 * depends on what is inside (users, directories, programs) is looked up here, where it can neither
 * block nor harm the agent. The command itself is another child of the agent.
 */
_Noreturn void cx_child_run(const struct cx_child_plan *plan);

#endif
