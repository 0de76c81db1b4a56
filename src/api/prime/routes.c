/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prime/routes.h"

#include "api/prime/handlers.h"
#include "base/cleanup.h"

#define SANDBOX "/api/v1/sandbox"

#define ABSENT(method, path, why)                                                       \
	{                                                                               \
		method, SANDBOX path, CX_SCOPE_USER, CX_BODY_NONE, cx_prime_absent, why \
	}
static const struct cx_route rows[] = {
	{ "GET", "/api/v1/user/whoami", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_whoami,
	  "whose key this is" },
	{ "GET", "/api/v1/user/teams", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_teams,
	  "the caller's teams; offset, limit" },
	{ "POST", SANDBOX "/{}/auth", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_token,
	  "a token of the gateway for one sandbox" },
	{ "POST", CX_PRIME_GATEWAY "/exec", CX_SCOPE_SANDBOX, CX_BODY_JSON, cx_prime_exec,
	  "a command with one answer, for the first generation" },
	{ "POST", CX_PRIME_GATEWAY "/upload", CX_SCOPE_SANDBOX, CX_BODY_STREAM, cx_prime_upload,
	  "part 'file' of multipart/form-data becomes the file at path=" },
	{ "GET", CX_PRIME_GATEWAY "/download", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_prime_download,
	  "the bytes of the file at path=" },
	{ "GET", CX_PRIME_GATEWAY "/read-file", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_prime_read_file,
	  "a window of the file at path= as text" },
	{ "GET", SANDBOX "/{}/error-context", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_error_context,
	  "what a sandbox ended of, asked for after a call that failed" },
	{ "POST", SANDBOX "/status:batchGet", CX_SCOPE_USER, CX_BODY_JSON, cx_prime_statuses,
	  "how many sandboxes are, asked for by clients that wait" },
	{ "GET", SANDBOX "/{}/egress-policy", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_egress,
	  "what a sandbox may reach" },
	{ "PUT", SANDBOX "/{}/egress-policy", CX_SCOPE_USER, CX_BODY_JSON, cx_prime_set_egress,
	  "everything or nothing; what cannot be enforced is refused" },
	{ "POST", SANDBOX "/{}/ssh-session", CX_SCOPE_USER, CX_BODY_JSON, cx_prime_ssh_session,
	  "lets the holder of a key log in by SSH for some time" },
	{ "DELETE", SANDBOX "/{}/ssh-session/{}", CX_SCOPE_USER, CX_BODY_NONE,
	  cx_prime_ssh_session_delete, "ends that, and the connections" },
	{ "POST", CX_PRIME_GATEWAY "/authorize", CX_SCOPE_SANDBOX, CX_BODY_JSON,
	  cx_prime_ssh_authorize,
	  "the key of a session that was made without, for the first "
	  "generation" },
	{ "POST", SANDBOX "/{}/expose", CX_SCOPE_USER, CX_BODY_JSON, cx_prime_expose,
	  "make a port of it reachable from outside, with HTTP or any TCP" },
	{ "GET", SANDBOX "/{}/expose", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_exposures,
	  "the ports that it exposes" },
	{ "GET", SANDBOX "/expose/all", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_all_exposures,
	  "those of all sandboxes of the caller" },
	{ "DELETE", SANDBOX "/{}/expose/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_prime_unexpose,
	  "close it, with its connections" },
	ABSENT("POST", "/{}/checkpoints", "checkpoints are not offered by this engine"),
	ABSENT("GET", "/{}/checkpoints", "checkpoints are not offered by this engine"),
	ABSENT("POST", "/checkpoints:batchGet", "checkpoints are not offered by this engine"),
	ABSENT("POST", "/volumes", "volumes are not offered by this engine"),
	ABSENT("GET", "/volumes", "volumes are not offered by this engine"),
	ABSENT("POST", "/networks", "networks of sandboxes are not offered by this engine"),
	ABSENT("GET", "/networks", "networks of sandboxes are not offered by this engine"),
	{ "POST", CX_PRIME_COMMANDS "/Start", CX_SCOPE_SANDBOX, CX_BODY_CALL,
	  cx_prime_command_start, "a command as a stream of events, for the newest generation" },
	{ "POST", CX_PRIME_COMMANDS "/Connect", CX_SCOPE_SANDBOX, CX_BODY_CALL,
	  cx_prime_command_connect, "the same of a command that runs" },
	{ "POST", CX_PRIME_COMMANDS "/SendInput", CX_SCOPE_SANDBOX, CX_BODY_CALL,
	  cx_prime_command_input, "to a command that runs" },
	{ "POST", CX_PRIME_COMMANDS "/SendSignal", CX_SCOPE_SANDBOX, CX_BODY_CALL,
	  cx_prime_command_signal, "to a command that runs" },
};

const struct cx_route_table cx_prime_routes = { rows, CX_LEN(rows) };
