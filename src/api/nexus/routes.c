/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/routes.h"

#include "api/nexus/handlers.h"
#include "base/cleanup.h"

static const struct cx_route rows[] = {
	{ "GET", "/api/auth/whoami", CX_SCOPE_USER, CX_BODY_NONE, cx_nexus_whoami,
	  "whose key it is; the remote client asks once at its start" },
	{ "POST", "/api/nfs/{}", CX_SCOPE_USER, CX_BODY_LONG, cx_nexus_handle,
	  "JSON-RPC 2.0: a method of the sandboxes; 200 also with an error in the answer" },
};

const struct cx_route_table cx_nexus_routes = { rows, CX_LEN(rows) };
