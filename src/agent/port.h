/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_PORT_H
#define CX_AGENT_PORT_H

#include "agent/conn.h"

/*
 * Connects to a TCP port of the sandbox's loopback (127.0.0.1, then ::1) and hands the socket out:
 * port_opened, or an error when neither takes it within the time that was given. At most
 * CX_AGENT_PORTS_MAX are being connected at once.
 */
CX_MUST int cx_port_request(struct cx_agent *agent, struct cx_conn_ref asker,
			    const struct cx_msg_port_open *m, struct cx_err *err);

#endif
