/* SPDX-License-Identifier: Apache-2.0 */
#include "api/describe.h"

#include <string.h>

#include "api/nexus/routes.h"
#include "api/prime/routes.h"
#include "base/cleanup.h"

#define SANDBOX "/api/v1/sandbox"
#define IMAGES	"/api/v1/images"
#define LOGINS	"/api/v1/registries"

enum {
	TEXT = CX_IS_TEXT,
	TEXT_OR_NONE = CX_IS_TEXT | CX_IS_NULL,
	INT = CX_IS_INT,
	INT_OR_NONE = CX_IS_INT | CX_IS_NULL,
	REAL = CX_IS_REAL,
	REAL_OR_NONE = CX_IS_REAL | CX_IS_NULL,
	BOOL = CX_IS_BOOL,
	BOOL_OR_NONE = CX_IS_BOOL | CX_IS_NULL,
	LIST = CX_IS_LIST,
	LIST_OR_NONE = CX_IS_LIST | CX_IS_NULL,
	MAP_OR_NONE = CX_IS_MAP | CX_IS_NULL,
	OBJECT = CX_IS_OBJECT,
	OBJECTS = CX_IS_OBJECTS,
	ANY = CX_IS_ANY,
	NEEDED = CX_IS_NEEDED,
};

/* ---- what is asked -------------------------------------------------------------------------- */

static const struct cx_field sandbox_create[] = {
	{ "docker_image", TEXT | NEEDED, 1, 512, NULL, "name of an image" },
	{ "name", TEXT_OR_NONE, 1, 128, NULL, "made up if left out" },
	{ "start_command", TEXT_OR_NONE | LIST | OBJECT, 0, 0, "StartCommand",
	  "a shell text, or a program and its arguments" },
	{ "cpu_cores", REAL_OR_NONE, 0.01, 0, NULL, "1 if left out; fractions count" },
	{ "memory_gb", REAL_OR_NONE, 0.015625, 0, NULL, "2 if left out; of 2^30 bytes" },
	{ "disk_size_gb", REAL_OR_NONE, 0.01, 1048576, NULL,
	  "5 if left out, or what is configured; of 2^30 bytes" },
	{ "scratch", TEXT_OR_NONE, 0, 16, NULL,
	  "\"memory\": what it writes is kept in its memory; \"disk\" if left out" },
	{ "pids_limit", INT_OR_NONE, 8, 4194304, NULL, "4096 if left out" },
	{ "timeout_minutes", REAL_OR_NONE, -1, 5256000, NULL,
	  "lifetime; 60 if left out, -1: none; fractions count" },
	{ "idle_timeout_minutes", REAL_OR_NONE, 0.001, 5256000, NULL,
	  "without use; none if left out; fractions count" },
	{ "environment_vars", MAP_OR_NONE, 0, 0, NULL, "of every process in it" },
	{ "secrets", MAP_OR_NONE, 0, 0, NULL, "the same, and never told again" },
	{ "labels", LIST_OR_NONE, 0, 0, NULL, "64 at most" },
	{ "network_access", BOOL_OR_NONE, 0, 0, NULL, "true if left out" },
	{ "network_allowlist", LIST_OR_NONE, 0, 0, NULL,
	  "hosts, *.hosts, addresses and networks, with :ports; or network_denylist, not both" },
	{ "network_denylist", LIST_OR_NONE, 0, 0, NULL, "1024 entries at most" },
	{ "network", TEXT_OR_NONE, 1, 63, NULL,
	  "it and its owner's other sandboxes of this network reach each other by name" },
	{ "team_id", TEXT_OR_NONE, 0, 128, NULL, "whose it is besides its owner" },
	{ "region", TEXT_OR_NONE, 0, 64, NULL, "kept, and without effect" },
	{ "idempotency_key", TEXT_OR_NONE, 0, 256, NULL, "the same key is the same sandbox" },
	{ "arch", TEXT_OR_NONE, 0, 16, "amd64", "of the image" },
	{ "gpu_count", INT_OR_NONE, 0, 1024, NULL, "more than 0 is refused" },
	{ "gpu_type", ANY, 0, 0, NULL, "without effect; a notice says so" },
	{ "vm", ANY, 0, 0, NULL, "without effect; a notice says so" },
	{ "guaranteed", ANY, 0, 0, NULL, "without effect; a notice says so" },
	{ "advanced_configs", ANY, 0, 0, NULL, "without effect; a notice says so" },
	{ "lease", OBJECT | CX_IS_NULL, 0, 0, "LeaseSpec", "it ends when its owner is silent" },
	{ "pull_policy", TEXT_OR_NONE, 0, 16, "missing|always|never",
	  "is the registry asked? missing if left out" },
};

static const struct cx_field start_command[] = {
	{ "executable", TEXT | NEEDED, 1, 4095, NULL, "found by PATH" },
	{ "args", LIST_OR_NONE, 0, 0, NULL, "" },
};

static const struct cx_field sandbox_query[] = {
	{ "page", INT, 1, 2147483647, NULL, "1 if left out" },
	{ "per_page", INT, 1, 1000, NULL, "50 if left out" },
	{ "status", TEXT, 0, 0, "PENDING|PROVISIONING|RUNNING|PAUSED|ERROR|TERMINATED|TIMEOUT",
	  "only these" },
	{ "labels", LIST, 0, 0, NULL, "only those that have all of them" },
	{ "is_active", BOOL, 0, 0, NULL, "only those that have not ended" },
	{ "team_id", TEXT, 0, 0, NULL, "only those of a team" },
	{ "user_id", TEXT, 0, 0, NULL, "only those of one user" },
};

static const struct cx_field sandbox_delete[] = {
	{ "sandbox_ids", LIST_OR_NONE, 0, 0, NULL, "or labels, not both; 1000 at most" },
	{ "labels", LIST_OR_NONE, 0, 0, NULL, "those that have all of them" },
	{ "all_users", BOOL_OR_NONE, 0, 0, NULL, "of everybody" },
	{ "user_id", TEXT_OR_NONE, 0, 128, NULL, "of one user" },
	{ "team_id", TEXT_OR_NONE, 0, 128, NULL, "of one team" },
};

static const struct cx_field command[] = {
	{ "command", TEXT | LIST | NEEDED, 1, 0, NULL, "a shell text, or a program and arguments" },
	{ "working_dir", TEXT_OR_NONE, 0, 4095, NULL, "the image's if left out" },
	{ "env", MAP_OR_NONE, 0, 0, NULL, "on top of the sandbox's" },
	{ "user", TEXT_OR_NONE, 0, 255, NULL, "the image's if left out" },
	{ "timeout", REAL_OR_NONE, 0.001, 4000000, NULL, "seconds; none if left out" },
	{ "cpu_time", REAL_OR_NONE, 0.001, 4000000, NULL, "seconds of all its processes" },
	{ "memory_bytes", INT_OR_NONE, 1 << 20, 0, NULL, "of all its processes" },
	{ "processes", INT_OR_NONE, 1, 4194304, NULL, "and threads" },
	{ "output_bytes", INT_OR_NONE, 1, 0, NULL, "of both streams together" },
	{ "output_file", TEXT_OR_NONE, 0, 4095, NULL,
	  "in the sandbox, that gets all of both streams, too; not with id or detach" },
	{ "file_bytes", INT_OR_NONE, 1, 0, NULL, "the largest file it may write" },
	{ "stack_bytes", INT_OR_NONE, 65536, 0, NULL, "of a process" },
	{ "open_files", INT_OR_NONE, 4, 0, NULL, "of a process; 16,384 at most" },
	{ "quiet_machine", BOOL_OR_NONE, 0, 0, NULL,
	  "one core, the same addresses in each run; waiting for CPU time is told" },
	{ "stdin", TEXT_OR_NONE, 0, 1048576, NULL, "all of its standard input" },
	{ "tty", BOOL_OR_NONE, 0, 0, NULL, "a terminal; with Upgrade: caisson-exec/1" },
	{ "id", TEXT_OR_NONE, 0, 64, NULL,
	  "letters, digits, '.', '_' and '-'; the same again gives the same command's end, and it "
	  "goes on when the client leaves" },
	{ "detach", BOOL_OR_NONE, 0, 0, NULL,
	  "answered when it has started, with its Exec; it goes on by itself" },
	{ "rows", INT_OR_NONE, 0, 65535, NULL, "of the terminal" },
	{ "cols", INT_OR_NONE, 0, 65535, NULL, "of the terminal" },
};

#define FILE_PATH                                                                              \
	{                                                                                      \
		"path", TEXT | NEEDED, 1, 4095, NULL, "without '/' from the working directory" \
	}
#define FILE_USER                                                                         \
	{                                                                                 \
		"user", TEXT, 0, 255, NULL, "whose rights count; the image's if left out" \
	}

static const struct cx_field file_put_query[] = {
	FILE_PATH,
	FILE_USER,
	{ "mode", TEXT, 1, 4, NULL, "octal; if left out, that of what is replaced, or 644" },
	{ "kind", TEXT, 0, 0, "file|directory|link|tar",
	  "the body of a link is its target; an archive is unpacked in the directory" },
	{ "sha256", TEXT, 64, 64, NULL, "refused when the body has another one" },
	{ "summed", BOOL, 0, 0, NULL, "true if left out; false spares the SHA-256 of the body" },
};

static const struct cx_field file_get_query[] = {
	FILE_PATH,
	FILE_USER,
	{ "offset", INT, 0, 9e15, NULL, "0 if left out" },
	{ "length", INT, 0, 9e15, NULL, "bytes; up to the end if left out" },
};

static const struct cx_field file_list_query[] = {
	FILE_PATH,
	FILE_USER,
	{ "after", TEXT, 0, 255, NULL, "the last name of the page before" },
};

static const struct cx_field file_put[] = {
	{ "path", TEXT | NEEDED, 0, 0, NULL, "as it was given" },
	{ "size", INT | NEEDED, 0, 0, NULL, "bytes" },
	{ "sha256", TEXT, 0, 0, NULL, "of the body; left out with summed=false" },
};

static const struct cx_field file_list[] = {
	{ "path", TEXT | NEEDED, 0, 0, NULL, "as it was given" },
	{ "kind", TEXT | NEEDED, 0, 0, "file|directory|link|other", "" },
	{ "mode", TEXT | NEEDED, 4, 4, NULL, "octal" },
	{ "size", INT | NEEDED, 0, 0, NULL, "bytes" },
	{ "mtime", INT | NEEDED, 0, 0, NULL, "seconds since 1970" },
	{ "entries", OBJECTS | NEEDED, 0, 0, "FileEntry", "of a directory, in the order of bytes" },
	{ "more", BOOL | NEEDED, 0, 0, NULL, "there are names behind these" },
};

static const struct cx_field file_entry[] = {
	{ "name", TEXT | NEEDED, 0, 0, NULL, "what is not UTF-8 is replaced" },
	{ "kind", TEXT | NEEDED, 0, 0, "file|directory|link|other", "" },
	{ "mode", TEXT | NEEDED, 4, 4, NULL, "octal" },
	{ "size", INT | NEEDED, 0, 0, NULL, "bytes" },
	{ "mtime", INT | NEEDED, 0, 0, NULL, "seconds since 1970" },
	{ "target", TEXT, 0, 0, NULL, "of a link" },
};

static const struct cx_field image_query[] = {
	{ "name", TEXT, 0, 0, NULL, "which image of the file, or what to call it" },
};

static const struct cx_field archive_query[] = {
	{ "image", LIST | NEEDED, 0, 0, NULL, "64 at most" },
	{ "format", TEXT, 0, 0, "oci|docker", "oci if left out" },
};

static const struct cx_field rootfs_query[] = {
	{ "image", TEXT | NEEDED, 0, 0, NULL, "whose files" },
};

static const struct cx_field image_pull[] = {
	{ "image", TEXT | NEEDED, 1, 512, NULL, "" },
	{ "policy", TEXT_OR_NONE, 0, 16, "always|missing", "" },
	{ "platform", TEXT_OR_NONE, 0, 64, NULL, "linux/amd64" },
	{ "username", TEXT_OR_NONE, 0, 0, NULL, "of the registry, for this pull" },
	{ "password", TEXT_OR_NONE, 0, 0, NULL, "" },
};

static const struct cx_field image_push[] = {
	{ "image", TEXT | NEEDED, 1, 512, NULL, "" },
	{ "to", TEXT_OR_NONE, 0, 512, NULL, "another name, in another registry too" },
	{ "username", TEXT_OR_NONE, 0, 0, NULL, "of the registry, for this push" },
	{ "password", TEXT_OR_NONE, 0, 0, NULL, "" },
};

static const struct cx_field image_tag[] = {
	{ "image", TEXT | NEEDED, 1, 512, NULL, "" },
	{ "name", TEXT | NEEDED, 1, 512, NULL, "the further name" },
};

static const struct cx_field image_prune[] = {
	{ "all", BOOL_OR_NONE, 0, 0, NULL, "also images that no sandbox was made from" },
};

static const struct cx_field image_verify[] = {
	{ "image", TEXT_OR_NONE, 0, 512, NULL, "all if left out" },
	{ "repair", BOOL_OR_NONE, 0, 0, NULL, "layers that are not what they were" },
};

static const struct cx_field commit[] = {
	{ "image", TEXT | NEEDED, 1, 512, NULL, "name of the new image" },
	{ "message", TEXT_OR_NONE, 0, 0, NULL, "for its history" },
	{ "author", TEXT_OR_NONE, 0, 0, NULL, "" },
};

static const struct cx_field login[] = {
	{ "registry", TEXT | NEEDED, 1, 255, NULL, "host, and port if it has one" },
	{ "username", TEXT | NEEDED, 1, 0, NULL, "" },
	{ "password", TEXT | NEEDED, 1, 0, NULL, "" },
};

/* ---- what is answered ----------------------------------------------------------------------- */

static const struct cx_field error[] = {
	{ "detail", TEXT | NEEDED, 0, 0, NULL, "what happened, and what to do" },
	{ "code", TEXT, 0, 0, NULL, "one word for programs" },
	{ "request_id", TEXT, 0, 0, NULL, "the answer's X-Request-Id" },
};

static const struct cx_field health[] = {
	{ "status", TEXT | NEEDED, 0, 0, "ok", "" },
};

static const struct cx_field ready[] = {
	{ "status", TEXT | NEEDED, 0, 0, "ready", "" },
	{ "disks", TEXT | NEEDED, 0, 0, "loop", "what limits the disks of sandboxes" },
};

static const struct cx_field out_of_memory[] = {
	{ "limitBytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "peakBytes", INT | NEEDED, 0, 0, NULL, "the most that it ever had" },
	{ "anonymousBytes", INT | NEEDED, 0, 0, NULL,
	  "what processes have; this and the next three: when the host looked, just before or "
	  "after "
	  "the kernel killed" },
	{ "sharedBytes", INT | NEEDED, 0, 0, NULL, "files in memory: tmpfs, shared memory" },
	{ "fileBytes", INT | NEEDED, 0, 0, NULL, "of files, which can be read again" },
	{ "kernelBytes", INT | NEEDED, 0, 0, NULL, "of the kernel for it" },
	{ "processes", INT | NEEDED, 0, 0, NULL, "that were there" },
	{ "process", OBJECT | CX_IS_NULL | NEEDED, 0, 0, "OutOfMemoryProcess",
	  "the largest, or the one that was killed; null: it was gone before the host looked" },
};

static const struct cx_field out_of_memory_process[] = {
	{ "name", TEXT | NEEDED, 0, 0, NULL,
	  "as it calls itself: at most 15 letters, digits and -_.:/+@, others are '?'" },
	{ "pid", INT | NEEDED, 0, 0, NULL, "inside; 0: not known" },
	{ "residentBytes", INT_OR_NONE | NEEDED, 0, 0, NULL, "null: it had given them back" },
};

static const struct cx_field sandbox[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "dockerImage", TEXT | NEEDED, 0, 0, NULL, "as the client wrote it" },
	{ "status", TEXT | NEEDED, 0, 0,
	  "PENDING|PROVISIONING|RUNNING|PAUSED|ERROR|TERMINATED|TIMEOUT", "" },
	{ "timeoutMinutes", INT | NEEDED, 0, 0, NULL, "-1: none" },
	{ "idleTimeoutMinutes", INT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "createdAt", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "updatedAt", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "startedAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "terminatedAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "exitCode", INT_OR_NONE | NEEDED, 0, 0, NULL, "of the start command" },
	{ "errorType", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "one word for programs" },
	{ "errorMessage", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "outOfMemory", OBJECT | CX_IS_NULL, 0, 0, "OutOfMemory", "when that was its end" },
	{ "terminationReason", TEXT_OR_NONE, 0, 0, NULL, "one word for programs" },
	{ "lastActiveAt", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "pausedAt", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "expiresAt", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "idleExpiresAt", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "leaseSeconds", INT_OR_NONE, 0, 0, NULL, "how long its owner may be silent" },
	{ "queuedAt", TEXT_OR_NONE, 0, 0, NULL, "since when it waited for room on the host" },
	{ "queuePosition", INT_OR_NONE, 0, 0, NULL, "1: the next; while it is PENDING for that" },
	{ "cpuCores", REAL | NEEDED, 0, 0, NULL, "" },
	{ "memoryGB", REAL | NEEDED, 0, 0, NULL, "" },
	{ "diskSizeGB", REAL | NEEDED, 0, 0, NULL, "" },
	{ "diskMountPath", TEXT, 0, 0, NULL, "" },
	{ "pidsLimit", INT | NEEDED, 0, 0, NULL, "" },
	{ "gpuCount", INT, 0, 0, NULL, "" },
	{ "gpuType", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "networkAccess", BOOL | NEEDED, 0, 0, NULL, "" },
	{ "networkAllowlist", LIST_OR_NONE, 0, 0, NULL, "" },
	{ "networkDenylist", LIST_OR_NONE, 0, 0, NULL, "" },
	{ "network", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "startCommand", TEXT_OR_NONE | OBJECT, 0, 0, "StartCommand",
	  "a text for clients that know nothing else" },
	{ "environmentVars", MAP_OR_NONE, 0, 0, NULL, "" },
	{ "secrets", MAP_OR_NONE, 0, 0, NULL, "the names; each value is \"***\"" },
	{ "labels", LIST | NEEDED, 0, 0, NULL, "" },
	{ "vm", BOOL, 0, 0, NULL, "" },
	{ "userId", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "teamId", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "region", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "pendingImageBuildId", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "kubernetesJobId", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "registryCredentialsId", TEXT_OR_NONE, 0, 0, NULL, "" },
	{ "gatewayAuth", ANY, 0, 0, NULL, "for clients that know it: a PrimeToken, when made" },
	{ "notices", LIST_OR_NONE, 0, 0, NULL, "what was asked for and does not hold" },
};

static const struct cx_field sandbox_list[] = {
	{ "sandboxes", OBJECTS | NEEDED, 0, 0, "Sandbox", "newest first" },
	{ "total", INT | NEEDED, 0, 0, NULL, "of all pages" },
	{ "page", INT | NEEDED, 0, 0, NULL, "" },
	{ "perPage", INT | NEEDED, 0, 0, NULL, "" },
	{ "hasNext", BOOL | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field deleted[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "status", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field deleted_many[] = {
	{ "succeeded", LIST | NEEDED, 0, 0, NULL, "ids" },
	{ "failed", OBJECTS | NEEDED, 0, 0, "NotDeleted", "" },
	{ "message", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field not_deleted[] = {
	{ "sandbox_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "error", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field logs[] = {
	{ "logs", TEXT | NEEDED, 0, 0, NULL, "the last 256 KiB" },
};

static const struct cx_field usage[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "cpu_us", INT | NEEDED, 0, 0, NULL, "processor time" },
	{ "memory_bytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "memory_peak_bytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "pids", INT | NEEDED, 0, 0, NULL, "processes" },
	{ "oom_kills", INT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field lease_spec[] = {
	{ "heartbeat_seconds", INT | NEEDED, 1, 86400, NULL, "between two signs of its owner" },
};

static const struct cx_field lease[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "status", TEXT | NEEDED, 0, 0, NULL, "of the sandbox" },
	{ "heartbeat_seconds", INT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field room[] = {
	{ "resources", OBJECTS | NEEDED, 0, 0, "Resource", "" },
	{ "remains", OBJECT | NEEDED, 0, 0, "Remains", "of ended sandboxes, being removed" },
	{ "queue", OBJECT | NEEDED, 0, 0, "Queue", "sandboxes that wait for room" },
};

static const struct cx_field remains[] = {
	{ "sandboxes", INT | NEEDED, 0, 0, NULL, "that ended and are not all gone" },
	{ "links", INT | NEEDED, 0, 0, NULL, "of theirs that the kernel still has" },
	{ "trash", INT | NEEDED, 0, 1, NULL, "1: files of theirs are being deleted" },
};

static const struct cx_field resource[] = {
	{ "name", TEXT | NEEDED, 0, 0, "sandboxes|cpu|memory|disk|pids|files",
	  "files: descriptors of caissond" },
	{ "unit", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "total", INT_OR_NONE | NEEDED, 0, 0, NULL, "what the host has" },
	{ "reserve", INT_OR_NONE | NEEDED, 0, 0, NULL, "of it, what it keeps" },
	{ "limit", INT_OR_NONE | NEEDED, 0, 0, NULL, "what may be promised; null: no bound" },
	{ "promised", INT_OR_NONE | NEEDED, 0, 0, NULL, "what limits of sandboxes add up to" },
	{ "left", INT_OR_NONE | NEEDED, 0, 0, NULL, "what nobody uses now; null: unknown" },
};

static const struct cx_field queue[] = {
	{ "length", INT | NEEDED, 0, 0, NULL, "" },
	{ "max", INT | NEEDED, 0, 0, NULL, "" },
	{ "wait_s", INT | NEEDED, 0, 0, NULL, "how long one may wait" },
	{ "oldest_ms", INT | NEEDED, 0, 0, NULL, "how long the next one has waited" },
	{ "why", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "what there was not enough of" },
};

static const struct cx_field sandbox_change[] = {
	{ "timeout_minutes", REAL_OR_NONE, -1, 5256000, NULL,
	  "lifetime from now on; -1: none; the same as before if left out" },
	{ "idle_timeout_minutes", REAL_OR_NONE, 0.001, 5256000, NULL,
	  "without use; the same as before if left out" },
};

static const struct cx_field egress_change[] = {
	{ "allowlist", LIST_OR_NONE, 0, 0, NULL,
	  "what alone may be reached; []: nothing; the old policy without any list" },
	{ "denylist", LIST_OR_NONE, 0, 0, NULL, "or this, what may not; []: everything may" },
	{ "network", TEXT_OR_NONE, 0, 63, NULL, "\"\": none; the same as before if left out" },
};

static const struct cx_field egress[] = {
	{ "mode", TEXT | NEEDED, 0, 0, "all|none|allow|deny", "" },
	{ "allowlist", LIST_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "denylist", LIST_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "network", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "generation", INT | NEEDED, 0, 0, NULL, "grows with each change" },
	{ "appliedGeneration", INT | NEEDED, 0, 0, NULL, "" },
	{ "applied", BOOL | NEEDED, 0, 0, NULL, "it is in force" },
};

static const struct cx_field follow_query[] = {
	{ "offset", INT, 0, 9e15, NULL,
	  "bytes of the log that are not wanted; Log-Offset says where the answer begins" },
};

static const struct cx_field egress_log_query[] = {
	{ "after", INT, 0, 0, NULL, "only what has a greater seq" },
	{ "limit", INT, 1, 1000, NULL, "100 if left out" },
};

static const struct cx_field egress_log[] = {
	{ "denials", OBJECTS | NEEDED, 0, 0, "Denial", "the oldest first" },
};

static const struct cx_field denial[] = {
	{ "seq", INT | NEEDED, 0, 0, NULL, "" },
	{ "time", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "protocol", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "of a packet" },
	{ "address", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "of a packet" },
	{ "port", INT_OR_NONE | NEEDED, 0, 0, NULL, "of a packet" },
	{ "name", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "that was asked for" },
	{ "count", INT | NEEDED, 0, 0, NULL, "how many alike" },
	{ "rule", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "the entry of the list that denies it" },
	{ "why", TEXT | NEEDED, 0, 0, NULL, "in words" },
};

static const struct cx_field usage_list[] = {
	{ "sandboxes", OBJECTS | NEEDED, 0, 0, "UsageNow", "" },
};

static const struct cx_field usage_now[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "at_ms", INT | NEEDED, 0, 0, NULL, "Unix time of the count" },
	{ "cpu_us", INT | NEEDED, 0, 0, NULL, "processor time" },
	{ "memory_bytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "memory_peak_bytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "pids", INT | NEEDED, 0, 0, NULL, "processes" },
	{ "oom_kills", INT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field watch[] = {
	{ "follow", BOOL, 0, 0, NULL, "false: what there is so far (default: true)" },
	{ "after", INT, 0, 0, NULL,
	  "seq of an event: all behind it; without: the last one of each sandbox that lives" },
};

static const struct cx_field change[] = {
	{ "seq", INT | NEEDED, 0, 0, NULL, "grows; where to go on (after)" },
	{ "time", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "status", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "image", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "errorType", TEXT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "errorMessage", TEXT | CX_IS_NULL | NEEDED, 0, 0, NULL, "" },
	{ "outOfMemory", OBJECT, 0, 0, "OutOfMemory", "when that was its end" },
	{ "exitCode", INT, 0, 0, NULL, "of the start command" },
};

static const struct cx_field command_end[] = {
	{ "exec_id", TEXT | NEEDED, 0, 0, NULL, "to ask for this end again" },
	{ "stdout", TEXT | NEEDED, 0, 0, NULL,
	  "its first 10 MiB; with an id of the client's the first 8 KiB of what is truncated" },
	{ "stderr", TEXT | NEEDED, 0, 0, NULL, "the same" },
	{ "stdout_bytes", INT | NEEDED, 0, 0, NULL, "of all of it" },
	{ "stderr_bytes", INT | NEEDED, 0, 0, NULL, "of all of it" },
	{ "stdout_truncated", BOOL | NEEDED, 0, 0, NULL, "stdout is not all of it" },
	{ "stderr_truncated", BOOL | NEEDED, 0, 0, NULL, "stderr is not all of it" },
	{ "stdout_tail", TEXT_OR_NONE | NEEDED, 0, 0, NULL,
	  "then: the last MiB of the rest; with an id of the client's 24 KiB" },
	{ "stderr_tail", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "the same" },
	{ "output_file_bytes", INT_OR_NONE, 0, 0, NULL,
	  "with output_file: bytes in it; null: it is as it was" },
	{ "output_file_error", TEXT_OR_NONE, 0, 0, NULL, "then: why it could not be written" },
	{ "exit_code", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "128 and the signal's number; 124: timed out; null: nobody saw its end" },
	{ "signal", INT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "timed_out", BOOL | NEEDED, 0, 0, NULL, "" },
	{ "exit_source", TEXT_OR_NONE | NEEDED, 0, 0, NULL,
	  "of exit_code and signal: kernel, asked by the host, or before Linux 6.15 agent" },
	{ "pid", INT | NEEDED, 0, 0, NULL, "it was, inside" },
	{ "reason", TEXT | NEEDED, 0, 0, NULL,
	  "exited, signalled, wall_timeout, cpu_timeout, oom, output_limit, pids_limit, disk_full, "
	  "sandbox_stopped or engine_error" },
	{ "detail", TEXT_OR_NONE | NEEDED, 0, 0, NULL,
	  "of sandbox_stopped, engine_error and an oom of the whole sandbox" },
	{ "wall_us", INT | NEEDED, 0, 0, NULL, "by the host's clock" },
	{ "user_us", INT_OR_NONE | NEEDED, 0, 0, NULL, "as the kernel counts all its processes" },
	{ "system_us", INT_OR_NONE | NEEDED, 0, 0, NULL, "the same" },
	{ "memory_peak_bytes", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "the same: its processes' own, the kernel's for them, and files" },
	{ "memory_file_bytes", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "of that: files that it was first to read, or wrote, cached still at its end" },
	{ "processes_peak", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "the same; null when an earlier command there had more" },
	{ "throttled_us", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "with quiet_machine: the sandbox stood still at its limit of CPU time" },
	{ "cpu_wait_us", INT_OR_NONE | NEEDED, 0, 0, NULL,
	  "with quiet_machine: it was ready and had no core; null with cgroup v1" },
	{ "source", TEXT_OR_NONE | NEEDED, 0, 0, NULL,
	  "of these figures: cgroup v1 or cgroup v2, read by the host" },
};

static const struct cx_field exec_wait[] = {
	{ "wait", INT, 0, 60, NULL, "seconds for its end; 0 if left out" },
};

static const struct cx_field exec_output_query[] = {
	{ "stream", TEXT, 0, 0, "stdout|stderr", "stdout if left out" },
	{ "offset", INT, 0, 9e15, NULL, "bytes from its beginning; 0 if left out" },
	{ "wait", INT, 0, 60, NULL, "seconds for more, when there is nothing yet" },
	{ "encoding", TEXT, 0, 0, "text|base64", "of the data; text if left out" },
};

static const struct cx_field exec_signal[] = {
	{ "signal", INT_OR_NONE, 1, 64, NULL, "its number; SIGTERM if left out" },
};

static const struct cx_field exec_record[] = {
	{ "exec_id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "status", TEXT | NEEDED, 0, 0, "RUNNING|ENDED", "" },
	{ "command", TEXT | NEEDED, 0, 0, NULL, "its first 256 bytes" },
	{ "reason", TEXT_OR_NONE | NEEDED, 0, 0, NULL,
	  "as in the result; engine_error: how it ended is not known" },
	{ "created_at", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "ended_at", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "result", OBJECT | CX_IS_NULL, 0, 0, "CommandEnd",
	  "when it has ended; not in a list. Its exit_code is null when that is not known" },
};

static const struct cx_field exec_list[] = {
	{ "execs", OBJECTS | NEEDED, 0, 0, "Exec",
	  "the newest first: all that run on their own, and the last 128 that have ended" },
};

static const struct cx_field exec_output[] = {
	{ "stream", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "offset", INT | NEEDED, 0, 0, NULL, "of the first byte of the data" },
	{ "lost_bytes", INT | NEEDED, 0, 0, NULL, "between what was asked for and that" },
	{ "next_offset", INT | NEEDED, 0, 0, NULL, "behind the data: to be asked for next" },
	{ "end_offset", INT | NEEDED, 0, 0, NULL, "what it has written so far" },
	{ "ended", BOOL | NEEDED, 0, 0, NULL, "the command has" },
	{ "data", TEXT | NEEDED, 0, 0, NULL, "64 KiB at most" },
};

static const struct cx_field image[] = {
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "id", TEXT | NEEDED, 0, 0, NULL, "digest of its configuration" },
	{ "digest", TEXT | NEEDED, 0, 0, NULL, "of its manifest" },
	{ "mediaType", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "platform", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "sizeBytes", INT | NEEDED, 0, 0, NULL, "of its layers on disk" },
	{ "uniqueBytes", INT | NEEDED, 0, 0, NULL, "of layers that no other image has" },
	{ "sharedBytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "createdAt", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "layers", OBJECTS | NEEDED, 0, 0, "Layer", "lowest first" },
	{ "config", ANY | NEEDED, 0, 0, NULL, "" },
	{ "history", ANY, 0, 0, NULL, "of a single image" },
};

static const struct cx_field layer[] = {
	{ "diffId", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "digest", TEXT | NEEDED, 0, 0, NULL, "of what it came as" },
	{ "mediaType", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "blobBytes", INT | NEEDED, 0, 0, NULL, "" },
	{ "sizeBytes", INT | NEEDED, 0, 0, NULL, "on disk" },
};

static const struct cx_field image_list[] = {
	{ "images", OBJECTS | NEEDED, 0, 0, "Image", "" },
};

static const struct cx_field imported[] = {
	{ "images", OBJECTS | NEEDED, 0, 0, "Image", "" },
	{ "skipped", INT | NEEDED, 0, 0, NULL, "devices and sockets, which no layer carries" },
};

static const struct cx_field event[] = {
	{ "status", TEXT | NEEDED, 0, 0, NULL, "the last line is done or error" },
	{ "image", ANY, 0, 0, NULL, "an Image when it is done" },
	{ "index", INT, 0, 0, NULL, "of the layer" },
	{ "digest", TEXT, 0, 0, NULL, "of the layer" },
	{ "phase", TEXT, 0, 0, NULL, "" },
	{ "bytes", INT, 0, 0, NULL, "so far" },
	{ "total", INT, 0, 0, NULL, "" },
	{ "detail", TEXT, 0, 0, NULL, "of an error" },
	{ "code", TEXT, 0, 0, NULL, "of an error" },
	{ "request_id", TEXT, 0, 0, NULL, "of an error" },
	{ "kind", TEXT, 0, 0, NULL, "what is verified" },
	{ "problem", TEXT, 0, 0, NULL, "what is wrong with it" },
	{ "checked", INT, 0, 0, NULL, "in all" },
	{ "bad", ANY, 0, 0, NULL, "in all" },
	{ "repaired", ANY, 0, 0, NULL, "in all" },
};

static const struct cx_field removed_image[] = {
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "digest", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field pruned[] = {
	{ "removed", LIST | NEEDED, 0, 0, NULL, "names" },
	{ "reclaimedBytes", INT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field logged_in[] = {
	{ "registry", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field login_list[] = {
	{ "enabled", BOOL | NEEDED, 0, 0, NULL, "may images come from registries?" },
	{ "default", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "of names that name none" },
	{ "registries", OBJECTS | NEEDED, 0, 0, "LoginEntry", "" },
};

static const struct cx_field login_entry[] = {
	{ "registry", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "username", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

#define SCHEMA(name, fields)                 \
	{                                    \
		name, fields, CX_LEN(fields) \
	}

static const struct cx_schema schemas[] = {
	SCHEMA("Error", error),
	SCHEMA("Health", health),
	SCHEMA("Ready", ready),
	SCHEMA("SandboxCreate", sandbox_create),
	SCHEMA("StartCommand", start_command),
	SCHEMA("SandboxQuery", sandbox_query),
	SCHEMA("SandboxDelete", sandbox_delete),
	SCHEMA("Command", command),
	SCHEMA("Commit", commit),
	SCHEMA("ImageQuery", image_query),
	SCHEMA("ArchiveQuery", archive_query),
	SCHEMA("RootfsQuery", rootfs_query),
	SCHEMA("ImagePull", image_pull),
	SCHEMA("ImagePush", image_push),
	SCHEMA("ImageTag", image_tag),
	SCHEMA("ImagePrune", image_prune),
	SCHEMA("ImageVerify", image_verify),
	SCHEMA("Login", login),
	SCHEMA("Sandbox", sandbox),
	SCHEMA("SandboxList", sandbox_list),
	SCHEMA("Deleted", deleted),
	SCHEMA("DeletedMany", deleted_many),
	SCHEMA("NotDeleted", not_deleted),
	SCHEMA("OutOfMemory", out_of_memory),
	SCHEMA("OutOfMemoryProcess", out_of_memory_process),
	SCHEMA("Logs", logs),
	SCHEMA("Usage", usage),
	SCHEMA("SandboxChange", sandbox_change),
	SCHEMA("EgressChange", egress_change),
	SCHEMA("Egress", egress),
	SCHEMA("FollowQuery", follow_query),
	SCHEMA("EgressLogQuery", egress_log_query),
	SCHEMA("EgressLog", egress_log),
	SCHEMA("Denial", denial),
	SCHEMA("LeaseSpec", lease_spec),
	SCHEMA("Lease", lease),
	SCHEMA("Room", room),
	SCHEMA("Remains", remains),
	SCHEMA("Resource", resource),
	SCHEMA("Queue", queue),
	SCHEMA("UsageList", usage_list),
	SCHEMA("UsageNow", usage_now),
	SCHEMA("Watch", watch),
	SCHEMA("Change", change),
	SCHEMA("CommandEnd", command_end),
	SCHEMA("ExecWait", exec_wait),
	SCHEMA("ExecOutputQuery", exec_output_query),
	SCHEMA("ExecSignal", exec_signal),
	SCHEMA("Exec", exec_record),
	SCHEMA("ExecList", exec_list),
	SCHEMA("ExecOutput", exec_output),
	SCHEMA("FilePutQuery", file_put_query),
	SCHEMA("FileGetQuery", file_get_query),
	SCHEMA("FileListQuery", file_list_query),
	SCHEMA("FilePut", file_put),
	SCHEMA("FileList", file_list),
	SCHEMA("FileEntry", file_entry),
	SCHEMA("Image", image),
	SCHEMA("Layer", layer),
	SCHEMA("ImageList", image_list),
	SCHEMA("Imported", imported),
	SCHEMA("Event", event),
	SCHEMA("RemovedImage", removed_image),
	SCHEMA("Pruned", pruned),
	SCHEMA("LoggedIn", logged_in),
	SCHEMA("LoginList", login_list),
	SCHEMA("LoginEntry", login_entry),
};

/* ---- the operations ------------------------------------------------------------------------- */

static const struct cx_operation operations[] = {
	{ "GET", "/healthz", "health", NULL, NULL, NULL, CX_FORM_JSON, "Health" },
	{ "GET", "/readyz", "ready", NULL, NULL, NULL, CX_FORM_JSON, "Ready" },
	{ "GET", "/metrics", "metrics", NULL, NULL, NULL, CX_FORM_TEXT, NULL },
	{ "GET", "/openapi.json", "describe", NULL, NULL, NULL, CX_FORM_JSON, NULL },
	{ "POST", SANDBOX, "createSandbox", NULL, NULL, "SandboxCreate", CX_FORM_JSON, "Sandbox" },
	{ "GET", SANDBOX, "listSandboxes", NULL, "SandboxQuery", NULL, CX_FORM_JSON,
	  "SandboxList" },
	{ "DELETE", SANDBOX, "deleteSandboxes", NULL, NULL, "SandboxDelete", CX_FORM_JSON,
	  "DeletedMany" },
	{ "GET", SANDBOX "/{}", "getSandbox", "id", NULL, NULL, CX_FORM_JSON, "Sandbox" },
	{ "DELETE", SANDBOX "/{}", "deleteSandbox", "id", NULL, NULL, CX_FORM_JSON, "Deleted" },
	{ "PATCH", SANDBOX "/{}", "changeSandbox", "id", NULL, "SandboxChange", CX_FORM_JSON,
	  "Sandbox" },
	{ "GET", SANDBOX "/{}/logs", "getLogs", "id", NULL, NULL, CX_FORM_JSON, "Logs" },
	{ "GET", SANDBOX "/{}/logs/follow", "followLogs", "id", "FollowQuery", NULL, CX_FORM_TEXT,
	  NULL },
	{ "POST", SANDBOX "/{}/pause", "pauseSandbox", "id", NULL, NULL, CX_FORM_JSON, "Sandbox" },
	{ "POST", SANDBOX "/{}/resume", "resumeSandbox", "id", NULL, NULL, CX_FORM_JSON,
	  "Sandbox" },
	{ "POST", SANDBOX "/{}/stop", "stopSandbox", "id", NULL, NULL, CX_FORM_JSON, "Sandbox" },
	{ "POST", SANDBOX "/{}/lease", "renewLease", "id", NULL, NULL, CX_FORM_JSON, "Lease" },
	{ "GET", SANDBOX "/{}/lease", "holdLease", "id", NULL, NULL, CX_FORM_LINES, "Lease" },
	{ "GET", SANDBOX "/{}/usage", "getUsage", "id", NULL, NULL, CX_FORM_JSON, "Usage" },
	{ "GET", SANDBOX "/{}/egress", "getEgress", "id", NULL, NULL, CX_FORM_JSON, "Egress" },
	{ "PUT", SANDBOX "/{}/egress", "setEgress", "id", NULL, "EgressChange", CX_FORM_JSON,
	  "Egress" },
	{ "GET", SANDBOX "/{}/egress/log", "getEgressLog", "id", "EgressLogQuery", NULL,
	  CX_FORM_JSON, "EgressLog" },
	{ "GET", "/api/v1/usage", "getUsageOfAll", NULL, NULL, NULL, CX_FORM_JSON, "UsageList" },
	{ "GET", "/api/v1/host", "getRoom", NULL, NULL, NULL, CX_FORM_JSON, "Room" },
	{ "GET", "/api/v1/events", "watchSandboxes", NULL, "Watch", NULL, CX_FORM_LINES, "Change" },
	{ "POST", SANDBOX "/{}/exec", "execCommand", "id", NULL, "Command", CX_FORM_JSON,
	  "CommandEnd" },
	{ "GET", SANDBOX "/{}/exec", "listExecs", "id", NULL, NULL, CX_FORM_JSON, "ExecList" },
	{ "GET", SANDBOX "/{}/exec/{}", "getExec", "id,exec_id", "ExecWait", NULL, CX_FORM_JSON,
	  "Exec" },
	{ "GET", SANDBOX "/{}/exec/{}/output", "getExecOutput", "id,exec_id", "ExecOutputQuery",
	  NULL, CX_FORM_JSON, "ExecOutput" },
	{ "POST", SANDBOX "/{}/exec/{}/signal", "signalExec", "id,exec_id", NULL, "ExecSignal",
	  CX_FORM_JSON, "Exec" },
	{ "PUT", SANDBOX "/{}/files", "putFile", "id", "FilePutQuery", NULL, CX_FORM_JSON,
	  "FilePut" },
	{ "GET", SANDBOX "/{}/files", "getFile", "id", "FileGetQuery", NULL, CX_FORM_BYTES, NULL },
	{ "GET", SANDBOX "/{}/files/list", "listFiles", "id", "FileListQuery", NULL, CX_FORM_JSON,
	  "FileList" },
	{ "POST", SANDBOX "/{}/commit", "commitSandbox", "id", NULL, "Commit", CX_FORM_JSON,
	  "Image" },
	{ "POST", IMAGES, "importImages", NULL, "ImageQuery", NULL, CX_FORM_JSON, "Imported" },
	{ "POST", IMAGES "/pull", "pullImage", NULL, NULL, "ImagePull", CX_FORM_LINES, "Event" },
	{ "POST", IMAGES "/push", "pushImage", NULL, NULL, "ImagePush", CX_FORM_LINES, "Event" },
	{ "POST", IMAGES "/tag", "tagImage", NULL, NULL, "ImageTag", CX_FORM_JSON, "Image" },
	{ "POST", IMAGES "/prune", "pruneImages", NULL, NULL, "ImagePrune", CX_FORM_JSON,
	  "Pruned" },
	{ "POST", IMAGES "/verify", "verifyImages", NULL, NULL, "ImageVerify", CX_FORM_LINES,
	  "Event" },
	{ "GET", IMAGES, "listImages", NULL, NULL, NULL, CX_FORM_JSON, "ImageList" },
	{ "GET", IMAGES "/{+}", "getImage", "name", NULL, NULL, CX_FORM_JSON, "Image" },
	{ "DELETE", IMAGES "/{+}", "removeImage", "name", NULL, NULL, CX_FORM_JSON,
	  "RemovedImage" },
	{ "GET", "/api/v1/image-archive", "saveImages", NULL, "ArchiveQuery", NULL, CX_FORM_FILE,
	  NULL },
	{ "GET", "/api/v1/image-rootfs", "exportImage", NULL, "RootfsQuery", NULL, CX_FORM_FILE,
	  NULL },
	{ "POST", LOGINS, "login", NULL, NULL, "Login", CX_FORM_JSON, "LoggedIn" },
	{ "GET", LOGINS, "listLogins", NULL, NULL, NULL, CX_FORM_JSON, "LoginList" },
	{ "DELETE", LOGINS "/{}", "logout", "host", NULL, NULL, CX_FORM_JSON, "LoggedIn" },
};

static const struct cx_description own = { schemas, CX_LEN(schemas), operations,
					   CX_LEN(operations) };

const struct cx_description *const cx_descriptions[] = { &own, &cx_accounts_description,
							 &cx_prime_description,
							 &cx_nexus_description };
const size_t cx_descriptions_count = CX_LEN(cx_descriptions);

const struct cx_operation *cx_operation_find(const struct cx_route *route)
{
	for (size_t i = 0; i < cx_descriptions_count; i++) {
		const struct cx_description *d = cx_descriptions[i];

		for (size_t k = 0; k < d->noperations; k++)
			if (strcmp(d->operations[k].path, route->path) == 0 &&
			    strcmp(d->operations[k].method, route->method) == 0)
				return &d->operations[k];
	}
	return NULL;
}

const struct cx_schema *cx_schema_find(const char *name)
{
	for (size_t i = 0; i < cx_descriptions_count; i++) {
		const struct cx_description *d = cx_descriptions[i];

		for (size_t k = 0; k < d->nschemas; k++)
			if (strcmp(d->schemas[k].name, name) == 0)
				return &d->schemas[k];
	}
	return NULL;
}
