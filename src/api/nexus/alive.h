/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_ALIVE_H
#define CX_API_NEXUS_ALIVE_H

#include "api/nexus/rpc.h"
#include "api/nexus/sandbox.h"

/*
 * "verify_status": caissond, which watches the first process of each sandbox, says which there are.
 * 0: done(call) follows, or the call is failed.
 */
CX_MUST int cx_nexus_ask_alive(struct cx_nexus_call *call, void (*done)(struct cx_nexus_call *call),
			       struct cx_err *err);
/* Inside of done() and after it. engine_id may be NULL. */
bool cx_nexus_is_alive(const struct cx_nexus_call *call, const char *engine_id);

/* Ends the call with the metadata of one sandbox. */
void cx_nexus_answer_sandbox(struct cx_nexus_call *call, const struct cx_sandbox_row *row,
			     enum cx_nexus_verified verified);

#endif
