/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_REAP_H
#define CX_AGENT_REAP_H

#include "agent/agent.h"

/*
 * Blocks every signal, and reaps every child whenever one has ended. Actions are as new: who
 * executes the agent has seen to it (runtime/spawner.c), and so they are for commands.
 */
struct cx_reaper {
	struct cx_source src; /* signalfd */
	struct cx_timer more;
	struct cx_agent *agent;
};

CX_MUST int cx_reap_open(struct cx_reaper *reaper, struct cx_agent *agent, struct cx_err *err);

#endif
