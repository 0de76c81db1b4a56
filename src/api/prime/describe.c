/* SPDX-License-Identifier: Apache-2.0 */
#include "api/describe.h"

#include "api/prime/handlers.h"
#include "api/sshkey.h"
#include "base/cleanup.h"

#define SANDBOX "/api/v1/sandbox"

enum {
	TEXT = CX_IS_TEXT,
	TEXT_OR_NONE = CX_IS_TEXT | CX_IS_NULL,
	NEEDED = CX_IS_NEEDED,
};

static const struct cx_field token[] = {
	{ "gateway_url", TEXT | NEEDED, 0, 0, NULL, "and /user_ns/job_id below it" },
	{ "user_ns", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "job_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "token", TEXT | NEEDED, 0, 0, NULL, "of this one sandbox" },
	{ "expires_at", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "is_vm", CX_IS_BOOL | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field whoami[] = {
	{ "data", CX_IS_OBJECT | NEEDED, 0, 0, "PrimeUser", "" },
};

static const struct cx_field user[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "email", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "slug", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "scope", CX_IS_ANY | NEEDED, 0, 0, NULL, "" },
	{ "role", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field page_query[] = {
	{ "offset", CX_IS_INT, 0, 0, NULL, "0 if left out" },
	{ "limit", CX_IS_INT, 0, 0, NULL, "100 if left out" },
};

static const struct cx_field teams[] = {
	{ "data", CX_IS_OBJECTS | NEEDED, 0, 0, "PrimeTeam", "" },
	{ "total_count", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "offset", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "limit", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field team[] = {
	{ "teamId", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "slug", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "role", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "createdAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field error_context[] = {
	{ "status", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "errorType", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "one word for programs" },
	{ "errorMessage", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field status_batch[] = {
	{ "sandbox_ids", CX_IS_LIST | NEEDED, 0, 0, NULL, "1 to 100, each once" },
};

static const struct cx_field statuses[] = {
	{ "statuses", CX_IS_OBJECTS | NEEDED, 0, 0, "PrimeStatus", "" },
	{ "errors", CX_IS_OBJECTS | NEEDED, 0, 0, "PrimeNoStatus", "all others" },
};

static const struct cx_field status[] = {
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "status", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "error_type", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "error_message", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "pending_image_build_id", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field no_status[] = {
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "code", TEXT | NEEDED, 0, 0, "NOT_FOUND", "" },
	{ "message", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field egress[] = {
	{ "allowlist", CX_IS_LIST | CX_IS_NULL, 0, 0, NULL, "[]: nothing can be reached" },
	{ "denylist", CX_IS_LIST | CX_IS_NULL, 0, 0, NULL, "or this; []: everything can" },
};

static const struct cx_field egress_status[] = {
	{ "policy", CX_IS_OBJECT | NEEDED, 0, 0, "PrimeEgress", "" },
	{ "generation", CX_IS_INT | NEEDED, 0, 0, NULL, "grows with each change" },
	{ "applied_generation", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "applied", CX_IS_BOOL | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field expose[] = {
	{ "port", CX_IS_INT | NEEDED, 22, 9000, NULL, "but not 2222, 8080 or 8081" },
	{ "name", TEXT_OR_NONE, 0, 255, NULL, "for you to tell it from others" },
	{ "protocol", TEXT_OR_NONE, 0, 16, "HTTP|TCP", "HTTP if left out" },
};

static const struct cx_field exposure[] = {
	{ "exposure_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "port", CX_IS_INT | NEEDED, 0, 0, NULL, "inside" },
	{ "name", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "url", TEXT | NEEDED, 0, 0, NULL, "where it is served" },
	{ "tls_socket", TEXT | NEEDED, 0, 0, NULL, "empty: it is served in the clear" },
	{ "protocol", TEXT | NEEDED, 0, 0, "HTTP|TCP", "" },
	{ "external_port", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "of TCP" },
	{ "external_endpoint", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "of TCP: host:port" },
	{ "created_at", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field exposures[] = {
	{ "exposures", CX_IS_OBJECTS | NEEDED, 0, 0, "PrimeExposure", "" },
};

static const struct cx_field command[] = {
	{ "command", TEXT | NEEDED, 1, 0, NULL, "for the shell" },
	{ "working_dir", TEXT_OR_NONE, 0, 4095, NULL, "the image's if left out" },
	{ "env", CX_IS_MAP | CX_IS_NULL, 0, 0, NULL, "on top of the sandbox's" },
	{ "user", TEXT_OR_NONE, 0, 255, NULL, "the image's if left out" },
	{ "timeout", CX_IS_REAL | CX_IS_NULL, 0.001, 4000000, NULL, "seconds; 300 if left out" },
	{ "sandbox_id", TEXT_OR_NONE, 0, 64, NULL, "the same as in the path" },
};

static const struct cx_field command_end[] = {
	{ "stdout", TEXT | NEEDED, 0, 0, NULL, "its first 10 MiB" },
	{ "stderr", TEXT | NEEDED, 0, 0, NULL, "its first 10 MiB" },
	{ "exit_code", CX_IS_INT | NEEDED, 0, 0, NULL, "128 and the signal's number" },
	{ "exit_source", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "kernel or agent" },
	{ "reason", TEXT | NEEDED, 0, 0, NULL, "as in the engine's own interface, and so on:" },
	{ "wall_us", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "user_us", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "system_us", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "memory_peak_bytes", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "memory_file_bytes", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "processes_peak", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "throttled_us", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "cpu_wait_us", CX_IS_INT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "source", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field file_query[] = {
	{ "path", TEXT | NEEDED, 1, 4095, NULL,
	  "of the file; without '/' from the working directory" },
	{ "sandbox_id", TEXT, 0, 64, NULL, "the same as in the path" },
};

static const struct cx_field window_query[] = {
	{ "path", TEXT | NEEDED, 1, 4095, NULL,
	  "of the file; without '/' from the working directory" },
	{ "sandbox_id", TEXT, 0, 64, NULL, "the same as in the path" },
	{ "offset", CX_IS_INT, -9e15, 9e15, NULL, "negative: from the end" },
	{ "length", CX_IS_INT, 0, 9e15, NULL, "bytes; up to the end if left out" },
};

static const struct cx_field upload[] = {
	{ "file", TEXT | NEEDED, 0, 209715200, NULL, "the bytes, as a file of the form" },
};

static const struct cx_field uploaded[] = {
	{ "success", CX_IS_BOOL | NEEDED, 0, 0, NULL, "true" },
	{ "path", TEXT | NEEDED, 0, 0, NULL, "as it was given" },
	{ "size", CX_IS_INT | NEEDED, 0, 0, NULL, "bytes" },
	{ "timestamp", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "sha256", TEXT | NEEDED, 0, 0, NULL, "of the file" },
};

static const struct cx_field window[] = {
	{ "content", TEXT | NEEDED, 0, 0, NULL, "what is not UTF-8 is replaced" },
	{ "size", CX_IS_INT | NEEDED, 0, 0, NULL, "bytes of the content" },
	{ "total_size", CX_IS_INT | NEEDED, 0, 0, NULL, "of the file" },
	{ "offset", CX_IS_INT | NEEDED, 0, 0, NULL, "where the content begins" },
	{ "truncated", CX_IS_BOOL | NEEDED, 0, 0, NULL, "there is more of the file" },
};

static const struct cx_field ssh_ask[] = {
	{ "public_key", TEXT_OR_NONE, 1, CX_SSH_KEY_TEXT_MAX, NULL,
	  "as OpenSSH writes it; without it nobody can log in before /authorize" },
	{ "ttl_seconds", CX_IS_INT | CX_IS_NULL, 1, 86400, NULL, "28800 if left out" },
};

static const struct cx_field ssh_session[] = {
	{ "session_id", TEXT | NEEDED, 0, 0, NULL, "the user name for SSH" },
	{ "exposure_id", TEXT | NEEDED, 0, 0, NULL, "the same" },
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "host", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "port", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "external_endpoint", TEXT | NEEDED, 0, 0, NULL, "host:port" },
	{ "expires_at", TEXT | NEEDED, 0, 0, NULL, "then its connections end, too" },
	{ "ttl_seconds", CX_IS_INT | NEEDED, 0, 0, NULL, "" },
	{ "host_key", TEXT | NEEDED, 0, 0, NULL, "the server's, for known_hosts" },
	{ "gateway_url", TEXT | NEEDED, 0, 0, NULL, "and /user_ns/job_id/authorize below it" },
	{ "user_ns", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "job_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "token", TEXT | NEEDED, 0, 0, NULL, "for /authorize" },
};

static const struct cx_field ssh_authorize[] = {
	{ "session_id", TEXT | NEEDED, 1, CX_SSH_USER_MAX, NULL, "" },
	{ "public_key", TEXT | NEEDED, 1, CX_SSH_KEY_TEXT_MAX, NULL, "as OpenSSH writes it" },
	{ "ttl_seconds", CX_IS_INT | CX_IS_NULL, 1, 86400, NULL, "from now on; 28800 if left out" },
};

static const struct cx_field ssh_authorized[] = {
	{ "session_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "expires_at", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field ssh_ended[] = {
	{ "message", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "session_id", TEXT | NEEDED, 0, 0, NULL, "" },
};

#define SCHEMA(name, fields)                         \
	{                                            \
		"Prime" name, fields, CX_LEN(fields) \
	}
static const struct cx_schema schemas[] = {
	SCHEMA("Whoami", whoami),
	SCHEMA("User", user),
	SCHEMA("PageQuery", page_query),
	SCHEMA("Teams", teams),
	SCHEMA("Team", team),
	SCHEMA("Token", token),
	SCHEMA("ErrorContext", error_context),
	SCHEMA("StatusBatch", status_batch),
	SCHEMA("Statuses", statuses),
	SCHEMA("Status", status),
	SCHEMA("NoStatus", no_status),
	SCHEMA("Egress", egress),
	SCHEMA("EgressStatus", egress_status),
	SCHEMA("Expose", expose),
	SCHEMA("Exposure", exposure),
	SCHEMA("Exposures", exposures),
	{ "PrimeUnexposed", NULL, 0 },
	SCHEMA("Command", command),
	SCHEMA("CommandEnd", command_end),
	SCHEMA("FileQuery", file_query),
	SCHEMA("WindowQuery", window_query),
	SCHEMA("Upload", upload),
	SCHEMA("Uploaded", uploaded),
	SCHEMA("Window", window),
	SCHEMA("SshAsk", ssh_ask),
	SCHEMA("SshSession", ssh_session),
	SCHEMA("SshAuthorize", ssh_authorize),
	SCHEMA("SshAuthorized", ssh_authorized),
	SCHEMA("SshEnded", ssh_ended),
};

#define ABSENT(method, path, id, param)                                            \
	{                                                                          \
		method, SANDBOX path, id, param, NULL, NULL, CX_FORM_JSON, "Error" \
	}
#define CALL(path, id)                                                                   \
	{                                                                                \
		"POST", CX_PRIME_COMMANDS path, id, "id", NULL, NULL, CX_FORM_CALL, NULL \
	}
static const struct cx_operation operations[] = {
	{ "GET", "/api/v1/user/whoami", "primeWhoami", NULL, NULL, NULL, CX_FORM_JSON,
	  "PrimeWhoami" },
	{ "GET", "/api/v1/user/teams", "primeTeams", NULL, "PrimePageQuery", NULL, CX_FORM_JSON,
	  "PrimeTeams" },
	{ "POST", SANDBOX "/{}/auth", "primeToken", "id", NULL, NULL, CX_FORM_JSON, "PrimeToken" },
	{ "GET", SANDBOX "/{}/error-context", "primeErrorContext", "id", NULL, NULL, CX_FORM_JSON,
	  "PrimeErrorContext" },
	{ "POST", SANDBOX "/status:batchGet", "primeStatuses", NULL, NULL, "PrimeStatusBatch",
	  CX_FORM_JSON, "PrimeStatuses" },
	{ "POST", CX_PRIME_GATEWAY "/exec", "primeExec", "id", NULL, "PrimeCommand", CX_FORM_JSON,
	  "PrimeCommandEnd" },
	{ "POST", CX_PRIME_GATEWAY "/upload", "primeUpload", "id", "PrimeFileQuery", "PrimeUpload",
	  CX_FORM_JSON, "PrimeUploaded" },
	{ "GET", CX_PRIME_GATEWAY "/download", "primeDownload", "id", "PrimeFileQuery", NULL,
	  CX_FORM_BYTES, NULL },
	{ "GET", CX_PRIME_GATEWAY "/read-file", "primeReadFile", "id", "PrimeWindowQuery", NULL,
	  CX_FORM_JSON, "PrimeWindow" },
	{ "GET", SANDBOX "/{}/egress-policy", "primeEgress", "id", NULL, NULL, CX_FORM_JSON,
	  "PrimeEgressStatus" },
	{ "PUT", SANDBOX "/{}/egress-policy", "primeSetEgress", "id", NULL, "PrimeEgress",
	  CX_FORM_JSON, "PrimeEgressStatus" },
	CALL("/Start", "primeStartCommand"),
	CALL("/Connect", "primeWatchCommand"),
	CALL("/SendInput", "primeSendInput"),
	CALL("/SendSignal", "primeSendSignal"),
	{ "POST", SANDBOX "/{}/ssh-session", "primeSshSession", "id", NULL, "PrimeSshAsk",
	  CX_FORM_JSON, "PrimeSshSession" },
	{ "DELETE", SANDBOX "/{}/ssh-session/{}", "primeEndSshSession", "id,session_id", NULL, NULL,
	  CX_FORM_JSON, "PrimeSshEnded" },
	{ "POST", CX_PRIME_GATEWAY "/authorize", "primeSshAuthorize", "id", NULL,
	  "PrimeSshAuthorize", CX_FORM_JSON, "PrimeSshAuthorized" },
	{ "POST", SANDBOX "/{}/expose", "primeExpose", "id", NULL, "PrimeExpose", CX_FORM_JSON,
	  "PrimeExposure" },
	{ "GET", SANDBOX "/{}/expose", "primeListExposures", "id", NULL, NULL, CX_FORM_JSON,
	  "PrimeExposures" },
	{ "GET", SANDBOX "/expose/all", "primeListAllExposures", NULL, NULL, NULL, CX_FORM_JSON,
	  "PrimeExposures" },
	{ "DELETE", SANDBOX "/{}/expose/{}", "primeUnexpose", "id,exposure_id", NULL, NULL,
	  CX_FORM_JSON, "PrimeUnexposed" },
	ABSENT("POST", "/{}/checkpoints", "primeCheckpoint", "id"),
	ABSENT("GET", "/{}/checkpoints", "primeListCheckpoints", "id"),
	ABSENT("POST", "/checkpoints:batchGet", "primeCheckpoints", NULL),
	ABSENT("POST", "/volumes", "primeMakeVolume", NULL),
	ABSENT("GET", "/volumes", "primeListVolumes", NULL),
	ABSENT("POST", "/networks", "primeMakeNetwork", NULL),
	ABSENT("GET", "/networks", "primeListNetworks", NULL),
};

const struct cx_description cx_prime_description = { schemas, CX_LEN(schemas), operations,
						     CX_LEN(operations) };
