/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_DENIALS_H
#define CX_API_DENIALS_H

#include "api/gateway.h"
#include "api/network_store.h"

/*
 * What sandboxes were refused, on its way into the store: once a second in one transaction, equal
 * ones as one. What is more than CX_DENIALS_AT_ONCE in a second is counted in the log of the
 * gateway only, so that no sandbox keeps it busy.
 */
enum { CX_DENIALS_AT_ONCE = 1024, CX_DENIALS_EVERY_MS = 1000 };

CX_MUST int cx_denials_open(struct cx_gateway *gw, struct cx_err *err);
void cx_denials_close(struct cx_gateway *gw); /* writes what waits; fine without open */
/* generation: of the policy that refused; 0: of an earlier one than the sandbox's. */
void cx_denials_note(struct cx_gateway *gw, int64_t sandbox, int64_t generation,
		     const struct cx_msg_denied *denied);

#endif
