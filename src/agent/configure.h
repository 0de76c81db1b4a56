/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CONFIGURE_H
#define CX_AGENT_CONFIGURE_H

#include "agent/conn.h"

/*
 * Takes what an image and a client asked for, makes the working directory, gives /workspace to the
 * default user and starts the start command. Nothing untrusted has run before. Refused, it leaves
 * the agent as it was; done once, it only answers ok.
 */
CX_MUST int cx_configure_request(struct cx_agent *agent, struct cx_conn_ref asker,
				 const struct cx_msg_configure *m, struct cx_err *err);

#endif
