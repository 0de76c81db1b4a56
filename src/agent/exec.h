/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_EXEC_H
#define CX_AGENT_EXEC_H

#include "agent/conn.h"

/* The requests about commands. Each returns 0 when it has answered or will, -errno to be refused.
 */
CX_MUST int cx_exec_request(struct cx_agent *agent, struct cx_conn_ref asker,
			    const struct cx_msg_exec *m, int *fds, unsigned nfds,
			    struct cx_err *err);
CX_MUST int cx_exec_signal_request(struct cx_agent *agent, struct cx_conn_ref asker,
				   const struct cx_msg_exec_signal *m, struct cx_err *err);
CX_MUST int cx_exec_resize_request(struct cx_agent *agent, struct cx_conn_ref asker,
				   const struct cx_msg_exec_resize *m, struct cx_err *err);

#endif
