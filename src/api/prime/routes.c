/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prime/routes.h"

#include "api/prime/handlers.h"
#include "base/cleanup.h"

#define SANDBOX "/api/v1/sandbox"

static const struct cx_route rows[] = {
	{ "POST", SANDBOX "/{}/auth", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_token,
	  "a token of the gateway for one sandbox" },
	{ "POST", CX_PRIME_GATEWAY "/exec", CX_SCOPE_SANDBOX, CX_BODY_JSON, cx_prime_exec,
	  "a command with one answer, for the first generation" },
};

const struct cx_route_table cx_prime_routes = { rows, CX_LEN(rows) };
