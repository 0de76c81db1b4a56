/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_OUTFLOW_H
#define CX_API_OUTFLOW_H

#include "api/flow.h"
#include "api/gateway.h"
#include "api/workers.h"

/*
 * An archive that workers write, as the body of an answer. The answer begins with the archive's
 * first bytes: what goes wrong before is an ordinary error. Embedded in its owner, zeroed, with
 * ended set.
 */
struct cx_outflow {
	/* Once, the last: the request is answered, nothing refers to this any more. */
	void (*ended)(struct cx_outflow *out);
	struct cx_workers workers; /* whose call the owner makes its request with */
	struct cx_gateway *gw;	   /* private from here */
	struct cx_request *req;	   /* until begun */
	const char *path;	   /* for the log */
	struct cx_flow *flow;	   /* NULL: not begun, or over */
	struct cx_source watch;	   /* the pipe, until the flow has it */
	bool begun;
	unsigned holders;
};

/*
 * ret_fds: for the workers, the archive's pipe and n reports. On success ended() comes when the
 * workers have ended, or after cx_outflow_fail().
 */
CX_MUST int cx_outflow_open(struct cx_outflow *out, struct cx_request *req, unsigned n,
			    int *ret_fds, struct cx_err *err);
/* The workers could not be asked for. */
void cx_outflow_fail(struct cx_outflow *out, const struct cx_err *err);

#endif
