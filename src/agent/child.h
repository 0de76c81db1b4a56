/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CHILD_H
#define CX_AGENT_CHILD_H

#include "agent/agent.h"
#include "agent/fileop.h"

/*
 * What a freshly forked child needs to become a command, or to do something to a file. Views and
 * descriptors are borrowed.
 */
struct cx_child_plan {
	const struct cx_config *config;
	const struct cx_groups *groups;
	const struct cx_group *group;
	const struct cx_msg_exec *exec; /* for a file only its user and directory count */
	const struct cx_fileop *file;	/* NULL: a command */
	int fds[3];			/* what become descriptors 0 to 2 */
	bool tty;			/* they are a terminal, to be the controlling one */
	int report;
};

/*
 * Runs in a forked child, in its own copy of memory, charged to the sandbox: so everything that
 * depends on what is inside (users, directories, programs, files) is looked up here, where it can
 * neither block nor harm the agent. What runs is another child of the agent.
 */
_Noreturn void cx_child_run(const struct cx_child_plan *plan);

#endif
