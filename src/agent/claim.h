/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CLAIM_H
#define CX_AGENT_CLAIM_H

#include "agent/agent.h"

/*
 * Makes the blank a sandbox: root (a detached mount, borrowed) becomes "/", then this process goes
 * down to its final privileges. On failure it is neither, and must end: the error names the step.
 */
CX_MUST int cx_claim(struct cx_agent *agent, const struct cx_msg_claim *m, int root,
		     struct cx_err *err);

#endif
