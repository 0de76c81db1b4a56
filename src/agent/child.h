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
 * What comes through the report pipe: the child's pid_t, then for a command either an error (it is
 * not going to run) or the end (it was executed); for a file that it is ready, unless there is an
 * error at once, then an error if there is one, and the end. The end without a pid: killed before
 * it got so far.
 */
struct cx_report {
	enum { CX_REPORT_ERROR, CX_REPORT_READY } what;
	struct cx_err err;
	struct cx_msg_file_info info;
};
static_assert(sizeof(struct cx_report) <= PIPE_BUF, "written at once, never cut");

/*
 * Runs in a forked child, in its own copy of memory, charged to the sandbox: so everything that
 * depends on what is inside (users, directories, programs, files) is looked up here, where it can
 * neither block nor harm the agent. What runs is another child of the agent.
 */
_Noreturn void cx_child_run(const struct cx_child_plan *plan);

#endif
