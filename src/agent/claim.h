/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CLAIM_H
#define CX_AGENT_CLAIM_H

#include "agent/agent.h"

/*
 * What of the way down needs no image, done while it is blank: a claim does not wait for it then.
 * On failure it must end.
 */
CX_MUST int cx_claim_prepare(struct cx_err *err);

/*
 * Makes the blank a sandbox: root (a detached mount, borrowed) becomes "/", then this process goes
 * down to its final privileges. On failure it is neither, and must end: the error names the step.
 */
CX_MUST int cx_claim(struct cx_agent *agent, const struct cx_msg_claim *m, int root,
		     struct cx_err *err);

#endif
