/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_REPORT_H
#define CX_AGENT_REPORT_H

#include "base/err.h"
#include "proto/agent_msgs.h"

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

#endif
