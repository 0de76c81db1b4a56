/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_RESULT_H
#define CX_EXEC_RESULT_H

#include "exec/accounts.h"
#include "proto/agent_msgs.h"

/* Why a command is over. */
enum cx_reason {
	CX_REASON_EXITED,
	CX_REASON_SIGNALLED,
	CX_REASON_WALL_TIMEOUT,
	CX_REASON_CPU_TIMEOUT,
	CX_REASON_OOM,	      /* the kernel killed in it for want of memory */
	CX_REASON_PIDS_LIMIT, /* it was refused a process, and ended or was ended for that */
	CX_REASON_OUTPUT_LIMIT,
	CX_REASON_DISK_FULL,	   /* it failed, and its sandbox's disk had no room at its end */
	CX_REASON_SANDBOX_STOPPED, /* the sandbox ended before it */
	CX_REASON_ENGINE_ERROR,	   /* we have lost sight of it */
	CX_REASON_MAX,
};

/*
 * How a command ended, and what it used until then: all of its processes, but what children use
 * that it left behind. The host has measured it, or asked the kernel.
 */
struct cx_result {
	enum cx_exited how;
	uint32_t status;	 /* exit code or signal number */
	const char *exit_source; /* of these: "kernel", or "agent" where that is all there is */
	bool unseen;		 /* nobody saw its end: how, status and exit_source say nothing */
	enum cx_reason reason;
	uint64_t wall_us; /* from when the sandbox was asked to when it told of the end */
	struct cx_figures used;
	const char *source; /* of the figures; NULL: there are none */
};

/* As it is written in answers: "exited", "wall_timeout" and so on. */
const char *cx_reason_name(enum cx_reason reason);

#endif
