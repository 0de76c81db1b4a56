/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CONN_H
#define CX_AGENT_CONN_H

#include "agent/agent.h"

/*
 * A connection from the host. What is said to it is sent at once or kept, up to CX_CONN_QUEUE_MAX
 * bytes; a host that does not read for longer loses its connection. While something is kept, its
 * requests are not read.
 */
enum { CX_CONN_QUEUE_MAX = 512 * 1024 };

struct cx_conn {
	struct cx_source src;
	struct cx_agent *agent;
	uint32_t number; /* never reused: a job refers to its asker by it */
	void (*request)(struct cx_conn *conn, struct cx_packet *pkt);
	struct cx_conn *next;
	struct cx_kept *head, **tail;
	size_t kept_bytes;
};

/* Takes over *fd. request() gets every packet; descriptors that it leaves are closed behind it. */
CX_MUST int cx_conn_open(struct cx_agent *agent, int *fd,
			 void (*request)(struct cx_conn *conn, struct cx_packet *pkt),
			 struct cx_err *err);
void cx_conn_close(struct cx_conn *conn);
/* NULL when it has been closed. */
struct cx_conn *cx_conn_find(const struct cx_agent *agent, uint32_t number);

/* While held, no connection's requests are read. */
void cx_conns_hold(struct cx_agent *agent, bool on);

/* Each says one thing; conn may be NULL: then nobody listens any more. */
#define CX_CONN_SAYS(M)                       \
	M(agent_hello, CX_FIELDS_AGENT_HELLO) \
	M(agent_error, CX_FIELDS_AGENT_ERROR) \
	M(agent_ok, CX_FIELDS_AGENT_NONE)     \
	M(started, CX_FIELDS_STARTED)         \
	M(log_data, CX_FIELDS_LOG_DATA)       \
	M(main_state, CX_FIELDS_MAIN_STATE)   \
	M(file_info, CX_FIELDS_FILE_INFO)
#define CX_CONN_DECLARE(name, FIELDS)                                   \
	void cx_conn_say_##name(struct cx_conn *conn, uint32_t request, \
				const struct cx_msg_##name *m);
CX_CONN_SAYS(CX_CONN_DECLARE)

void cx_conn_refuse(struct cx_conn *conn, uint32_t request, const struct cx_err *err);
void cx_conn_ok(struct cx_conn *conn, uint32_t request);
/* pidfd stays the caller's; -EBADF: there is none. */
void cx_conn_exited(struct cx_conn *conn, uint32_t request, const struct cx_msg_exited *m,
		    int pidfd);
/* sock stays the caller's. */
void cx_conn_port_opened(struct cx_conn *conn, uint32_t request, int sock);

#endif
