/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_DISPATCH_H
#define CX_AGENT_DISPATCH_H

#include "agent/conn.h"

/* What the host may ask, when, and with how many descriptors: a table. */
union cx_request {
	struct cx_msg_claim claim;
	struct cx_msg_configure configure;
	struct cx_msg_exec exec;
	struct cx_msg_exec_signal exec_signal;
	struct cx_msg_exec_resize exec_resize;
	struct cx_msg_exec_watch exec_watch;
	struct cx_msg_exec_output exec_output;
	struct cx_msg_log_read log_read;
	struct cx_msg_main_status main_status;
	struct cx_msg_file_put file_put;
	struct cx_msg_file_get file_get;
	struct cx_msg_file_list file_list;
	struct cx_msg_port_open port_open;
};
struct cx_dispatch_row;

/*
 * Decodes a packet without acting on it. NULL when it is malformed, of a type that is no request,
 * or has too few or too many descriptors: its connection is then to be closed.
 */
const struct cx_dispatch_row *cx_dispatch_decode(struct cx_packet *pkt, union cx_request *ret);

/* For cx_conn_open(): deals with one packet, answers or refuses it, or closes the connection. */
void cx_dispatch(struct cx_conn *conn, struct cx_packet *pkt);

#endif
