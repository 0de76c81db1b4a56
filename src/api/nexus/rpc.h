/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_RPC_H
#define CX_API_NEXUS_RPC_H

#include "api/access.h"
#include "api/jsonw.h"
#include "api/nexus/params.h"

/*
 * A call from its first byte to its answer. A method begins it and returns; later, or before it
 * returns, it ends the call once, by cx_nexus_end() or cx_nexus_fail(), which free it.
 */
struct cx_nexus_call {
	struct cx_request *req;
	struct cx_nexus_request rpc;
	struct cx_buf out; /* the answer */
	struct cx_jsonw w;
	/* What a method may wait for; its own. */
	struct cx_box_waiter waiter;
	struct cx_engine_call engine;
	struct cx_buf alive; /* strv of the engine's ids (alive.h) */
	struct cx_err alive_err;
	void (*alive_done)(struct cx_nexus_call *call);
};

/* The writer of the answer; the method writes one value with the key "result". */
struct cx_jsonw *cx_nexus_answer(struct cx_nexus_call *call);
void cx_nexus_end(struct cx_nexus_call *call);
void cx_nexus_fail(struct cx_nexus_call *call, const struct cx_err *err);

/* Who the client says to act for: the parameter, else the context, else the header. Or NULL. */
const char *cx_nexus_agent_of(const struct cx_nexus_call *call);
const char *cx_nexus_tenant_of(const struct cx_nexus_call *call);

/* The sandbox that the call names; CX_NOT_FOUND in Nexus' words. */
CX_MUST int cx_nexus_named(struct cx_nexus_call *call, struct cx_named *ret, struct cx_err *err);

/* The methods. 0: the call is or will be ended; -errno: it is not, and goes on to cx_nexus_fail().
 */
CX_MUST int cx_nexus_create(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_get_or_create(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_run(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_pause(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_resume(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_stop(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_status(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_list(struct cx_nexus_call *call, struct cx_err *err);
CX_MUST int cx_nexus_connect(struct cx_nexus_call *call, struct cx_err *err);

#endif
