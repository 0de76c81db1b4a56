/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_PARAMS_H
#define CX_API_NEXUS_PARAMS_H

#include "api/json.h"

/*
 * One JSON-RPC request of a Nexus client, checked field by field. Pure: bytes in, a filled struct
 * or a refusal with one of JSON-RPC's codes out.
 */
enum cx_nexus_code {
	CX_NEXUS_PARSE_ERROR = -32700,
	CX_NEXUS_INVALID_REQUEST = -32600,
	CX_NEXUS_NO_METHOD = -32601,
	CX_NEXUS_INVALID_PARAMS = -32602, /* Python's ValueError at the other side */
	CX_NEXUS_INTERNAL_ERROR = -32603, /* any exception that has no code of its own */
	CX_NEXUS_PERMISSION_ERROR = -32004,
};

/* Of an error that came up behind the parser. */
int cx_nexus_code(unsigned kind);

enum {
	CX_NEXUS_ID_MAX = 256, /* bytes of a request's id as JSON */
	CX_NEXUS_WORD_MAX = 255,
};

/* What a method may be given; absent is NULL, 0 or false, unless the method's row says other. */
struct cx_nexus_params {
	const char *name, *provider, *template_id, *sandbox_id, *language, *code;
	const char *user_id, *agent_id, *tenant_id, *status;
	double ttl_minutes;
	int64_t timeout; /* seconds */
	bool verify_status;
	struct { /* of "context": who the client says to act for */
		const char *user, *agent_id, *tenant_id;
	} context;
};

enum cx_nexus_method {
	CX_NEXUS_CREATE,
	CX_NEXUS_GET_OR_CREATE,
	CX_NEXUS_RUN,
	CX_NEXUS_PAUSE,
	CX_NEXUS_RESUME,
	CX_NEXUS_STOP,
	CX_NEXUS_STATUS,
	CX_NEXUS_LIST,
	CX_NEXUS_CONNECT,
	CX_NEXUS_DISCONNECT,
	CX_NEXUS_METHODS
};
const char *cx_nexus_method_name(enum cx_nexus_method method);

struct cx_nexus_request { /* texts live as long as it */
	enum cx_nexus_method method;
	struct cx_nexus_params p;
	char *id; /* as JSON; NULL: it has none that can be told */
	struct json_t *doc;
};
void cx_nexus_request_clear(struct cx_nexus_request *request); /* for CX_AUTO() */

/*
 * path_method is the last part of the path; a method in the body must be the same. -errno:
 * *ret_code and err say what is wrong, and ret->id is set if there is one to answer with.
 */
CX_MUST int cx_nexus_parse(const char *body, size_t len, const char *path_method,
			   struct cx_nexus_request *ret, int *ret_code, struct cx_err *err);

#endif
