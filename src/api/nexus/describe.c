/* SPDX-License-Identifier: Apache-2.0 */
#include "api/describe.h"
#include "api/nexus/routes.h"
#include "base/cleanup.h"

enum {
	TEXT = CX_IS_TEXT,
	NEEDED = CX_IS_NEEDED,
	ANYTHING = CX_IS_ANY | CX_IS_NULL,
};

static const struct cx_field whoami[] = {
	{ "authenticated", CX_IS_BOOL | NEEDED, 0, 0, NULL, "" },
	{ "subject_type", TEXT | NEEDED, 0, 0, NULL, "user" },
	{ "subject_id", TEXT | NEEDED, 0, 0, NULL, "the account" },
	{ "tenant_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "is_admin", CX_IS_BOOL | NEEDED, 0, 0, NULL, "" },
	{ "user", TEXT | NEEDED, 0, 0, NULL, "the same as subject_id" },
};

/* What is not so is told in an answer of the same form, so nothing is said to be needed. */
static const struct cx_field request[] = {
	{ "jsonrpc", ANYTHING, 0, 0, NULL, "\"2.0\"" },
	{ "id", ANYTHING, 0, 0, NULL, "a text or a number, which comes back" },
	{ "method", ANYTHING, 0, 0, NULL, "the one of the path" },
	{ "params", ANYTHING, 0, 0, NULL, "an object" },
};

static const struct cx_field answer[] = {
	{ "jsonrpc", TEXT | NEEDED, 0, 0, "2.0", "" },
	{ "id", ANYTHING | NEEDED, 0, 0, NULL, "of the request; null if it has none" },
	{ "result", ANYTHING, 0, 0, NULL, "or error" },
	{ "error", CX_IS_OBJECT, 0, 0, "NexusError", "" },
};

static const struct cx_field error[] = {
	{ "code", CX_IS_INT | NEEDED, -32768, -32000, NULL, "of JSON-RPC and of Nexus" },
	{ "message", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "data", CX_IS_OBJECT | NEEDED, 0, 0, "NexusErrorData", "" },
};

static const struct cx_field error_data[] = {
	{ "code", TEXT | NEEDED, 0, 0, NULL, "as in caisson's own errors" },
	{ "request_id", TEXT | NEEDED, 0, 0, NULL, "" },
};

#define SCHEMA(name, fields)                         \
	{                                            \
		"Nexus" name, fields, CX_LEN(fields) \
	}
static const struct cx_schema schemas[] = {
	SCHEMA("Whoami", whoami), SCHEMA("Request", request),	   SCHEMA("Answer", answer),
	SCHEMA("Error", error),	  SCHEMA("ErrorData", error_data),
};

static const struct cx_operation operations[] = {
	{ "GET", "/api/auth/whoami", "nexusWhoami", NULL, NULL, NULL, CX_FORM_JSON, "NexusWhoami" },
	{ "POST", "/api/nfs/{}", "nexusCall", "method", NULL, "NexusRequest", CX_FORM_JSON,
	  "NexusAnswer" },
};

const struct cx_description cx_nexus_description = { schemas, CX_LEN(schemas), operations,
						     CX_LEN(operations) };
