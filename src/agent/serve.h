/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_SERVE_H
#define CX_AGENT_SERVE_H

#include "agent/agent.h"

/*
 * Prepares the mounts of a blank, accepts connections from outside, and serves until the host kills
 * the sandbox or a claim fails. The descriptors are those of proto/agent_msgs.h. agent is zeroed.
 */
CX_MUST int cx_serve(struct cx_agent *agent, unsigned nwork, unsigned cpus, struct cx_err *err);

#endif
