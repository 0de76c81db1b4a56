/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_KEPT_H
#define CX_AGENT_KEPT_H

#include "agent/agent.h"

/*
 * Commands with a key (proto/agent_msgs.h). They need no connection: their output is read here, and
 * of each stream the first CX_KEPT_HEAD bytes and the newest CX_RING_SIZE are kept, so they never
 * wait for a reader. With its end one is kept until CX_KEPT_MAX others have come behind it; then
 * its pipes are closed, too, in which children may write that it left behind.
 */
enum {
	CX_KEPT_MAX = 32, /* running or not; of those that run none ever goes */
	CX_KEPT_HEAD = 16 * 1024,
	CX_KEPT_LISTENERS_MAX = 256, /* requests at once that wait for output */
};

struct cx_kept_stream { /* zeroed: nothing was written */
	struct cx_ring ring;
	uint8_t head[CX_KEPT_HEAD];
};

void cx_kept_write(struct cx_kept_stream *stream, const void *data, size_t len);
/*
 * Copies what is kept from *offset on, at most max bytes, and returns how many; 0 only at the end.
 * *offset moves forward to the first byte that is still there.
 */
size_t cx_kept_read(const struct cx_kept_stream *stream, uint64_t *offset, void *out, size_t max);

/* The requests; each returns 0 when it has answered or will, -errno to be refused. */
CX_MUST int cx_kept_start(struct cx_agent *agent, struct cx_conn_ref asker,
			  const struct cx_msg_exec *m, int in, struct cx_err *err);
CX_MUST int cx_kept_watch_request(struct cx_agent *agent, struct cx_conn_ref asker,
				  const struct cx_msg_exec_watch *m, struct cx_err *err);
CX_MUST int cx_kept_output_request(struct cx_agent *agent, struct cx_conn_ref asker,
				   const struct cx_msg_exec_output *m, struct cx_err *err);

#endif
