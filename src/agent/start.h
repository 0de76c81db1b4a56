/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_START_H
#define CX_AGENT_START_H

#include "agent/conn.h"

/*
 * The start command: its output goes into the ring, its end is told to every connection. Nothing of
 * the sandbox depends on it; exec works before, beside and after it.
 */

/* Starts config.start. Answers asker (ok or an error) when it has executed or could not. */
CX_MUST int cx_start_begin(struct cx_agent *agent, struct cx_conn_ref asker, struct cx_err *err);

CX_MUST int cx_start_status_request(struct cx_agent *agent, struct cx_conn_ref asker,
				    struct cx_err *err);
CX_MUST int cx_start_log_request(struct cx_agent *agent, struct cx_conn_ref asker,
				 const struct cx_msg_log_read *m, struct cx_err *err);

#endif
