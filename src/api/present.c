/* SPDX-License-Identifier: Apache-2.0 */
#include "api/present.h"

#include <stdio.h>
#include <string.h>

#include "api/boxes.h"
#include "api/json.h"
#include "api/lifetime.h"

static void write_json(struct cx_jsonw *w, const char *key, const char *json)
{
	cx_jsonw_raw(w, key, json != NULL ? json : "null");
}

static void write_secrets(struct cx_jsonw *w, const char *names)
{
	CX_AUTO(cx_buf_free) struct cx_buf strv = { .max = 1 << 20 };
	CX_AUTO(cx_buf_free) struct cx_buf wrapped = { .max = 1 << 20 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_jsonw inner = { .out = &wrapped };
	struct cx_str list;
	struct cx_err err;

	cx_jsonw_object(&inner, NULL);
	write_json(&inner, "names", names);
	cx_jsonw_end(&inner);
	if (cx_json_parse_object(wrapped.p, wrapped.len, &doc, &err) < 0 ||
	    cx_json_strv(doc, "names", &strv, &err) < 0 || strv.len == 0) {
		cx_jsonw_null(w, "secrets");
		return;
	}
	list = cx_str_of_buf(&strv);
	cx_jsonw_object(w, "secrets");
	CX_STRV_FOREACH (name, list) {
		cx_jsonw_text(w, name, "***");
	}
	cx_jsonw_end(w);
}

/* ---- startCommand --------------------------------------------------------------------------- */

static bool wants_text(const char *agent)
{
	unsigned major = 0, minor = 0, patch = 0;

	if (agent == NULL ||
	    sscanf(agent, "prime-sandboxes/%3u.%3u.%3u", &major, &minor, &patch) != 3)
		return false;
	return major == 0 && (minor < 2 || (minor == 2 && patch < 38));
}

static void add_quoted(struct cx_buf *out, const char *arg)
{
	struct cx_err err;

	(void)!cx_buf_add(out, out->len > 0 ? " '" : "'", out->len > 0 ? 2 : 1, &err);
	for (; *arg != '\0'; arg++)
		(void)!cx_buf_add(out, *arg == '\'' ? "'\\''" : arg, *arg == '\'' ? 4 : 1, &err);
	(void)!cx_buf_add(out, "'", 1, &err);
}

static void write_as_text(struct cx_jsonw *w, const struct cx_buf *argv)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = 1 << 20 };
	struct cx_str list = { .p = argv->p, .len = (uint32_t)argv->len };

	CX_STRV_FOREACH (arg, list) {
		add_quoted(&text, arg);
	}
	cx_jsonw_bytes(w, "startCommand", text.p, text.len);
}

static void write_as_object(struct cx_jsonw *w, const struct cx_buf *argv)
{
	struct cx_str list = { .p = argv->p, .len = (uint32_t)argv->len };
	bool first = true;

	cx_jsonw_object(w, "startCommand");
	CX_STRV_FOREACH (arg, list) {
		cx_jsonw_text(w, first ? "executable" : NULL, arg);
		if (first)
			cx_jsonw_array(w, "args");
		first = false;
	}
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

/* What the client wrote, as argv; the text of a shell command apart. */
static int load_start(const char *json, struct json_t **doc, const char **text, struct cx_buf *argv,
		      struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf wrapped = { .max = 1 << 20 };
	struct cx_jsonw w = { .out = &wrapped };
	const struct json_t *start;
	const char *executable = "";

	cx_jsonw_object(&w, NULL);
	write_json(&w, "start", json);
	cx_jsonw_end(&w);
	if (cx_json_parse_object(wrapped.p, wrapped.len, doc, err) < 0)
		return -err->errnum;
	if (cx_json_type(*doc, "start") == CX_JSON_TEXT)
		return cx_json_text(*doc, "start", 1 << 20, text, err);
	if (cx_json_type(*doc, "start") == CX_JSON_ARRAY)
		return cx_json_strv(*doc, "start", argv, err);
	start = cx_json_member(*doc, "start");
	if (start == NULL)
		return 0;
	if (cx_json_text(start, "executable", 1 << 20, &executable, err) < 0 ||
	    cx_buf_add(argv, executable, strlen(executable) + 1, err) < 0)
		return -err->errnum;
	return cx_json_strv(start, "args", argv, err);
}

static void write_start(struct cx_jsonw *w, const char *json, const char *agent)
{
	CX_AUTO(cx_buf_free) struct cx_buf argv = { .max = 1 << 20 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *text = NULL;
	struct cx_err err;

	if (load_start(json, &doc, &text, &argv, &err) < 0 || (text == NULL && argv.len == 0)) {
		cx_jsonw_null(w, "startCommand");
		return;
	}
	if (text != NULL && wants_text(agent)) {
		cx_jsonw_text(w, "startCommand", text);
		return;
	}
	if (text != NULL && (cx_buf_add(&argv, "/bin/sh\0-c", 11, &err) < 0 ||
			     cx_buf_add(&argv, text, strlen(text) + 1, &err) < 0)) {
		cx_jsonw_null(w, "startCommand");
		return;
	}
	if (wants_text(agent))
		write_as_text(w, &argv);
	else
		write_as_object(w, &argv);
}

/* ---- the object ----------------------------------------------------------------------------- */

static void write_limits(struct cx_jsonw *w, const struct cx_sandbox_row *row)
{
	cx_jsonw_real(w, "cpuCores", row->cpu_cores);
	cx_jsonw_real(w, "memoryGB", row->memory_gb);
	cx_jsonw_real(w, "diskSizeGB", row->disk_size_gb);
	cx_jsonw_text(w, "diskMountPath", "/workspace");
	cx_jsonw_int(w, "pidsLimit", row->pids_limit);
	cx_jsonw_int(w, "gpuCount", 0);
	cx_jsonw_null(w, "gpuType");
	cx_jsonw_bool(w, "networkAccess", row->network_access != 0);
	write_json(w, "networkAllowlist", row->network_allowlist);
	write_json(w, "networkDenylist", row->network_denylist);
	cx_jsonw_text(w, "network", row->network_name);
}

/* Clients know whole minutes only: a part of one is one. */
static int64_t whole_minutes(double minutes)
{
	int64_t whole = (int64_t)minutes;

	return (double)whole < minutes ? whole + 1 : whole;
}

static void write_place(struct cx_jsonw *w, const struct cx_gateway *gw,
			const struct cx_sandbox_row *row)
{
	unsigned position = cx_queue_position(gw, row);

	cx_jsonw_time(w, "queuedAt", row->queued_ms);
	if (position > 0)
		cx_jsonw_int(w, "queuePosition", position);
	else
		cx_jsonw_null(w, "queuePosition");
}

static void write_life(struct cx_jsonw *w, const struct cx_sandbox_row *row)
{
	cx_jsonw_text(w, "status", row->status);
	cx_jsonw_int(w, "timeoutMinutes", whole_minutes(row->timeout_minutes));
	if (row->idle_timeout_minutes > 0)
		cx_jsonw_int(w, "idleTimeoutMinutes", whole_minutes(row->idle_timeout_minutes));
	else
		cx_jsonw_null(w, "idleTimeoutMinutes");
	cx_jsonw_time(w, "createdAt", row->created_ms);
	cx_jsonw_time(w, "updatedAt", row->updated_ms);
	cx_jsonw_time(w, "startedAt", row->started_ms);
	cx_jsonw_time(w, "terminatedAt", row->ended_ms);
	if (row->exit_code >= 0)
		cx_jsonw_int(w, "exitCode", row->exit_code);
	else
		cx_jsonw_null(w, "exitCode");
	cx_jsonw_text(w, "errorType", row->error_type);
	cx_jsonw_text(w, "errorMessage", row->error_message);
	write_json(w, "outOfMemory", row->oom_report);
	cx_jsonw_text(w, "terminationReason", row->termination_reason);
	cx_jsonw_time(w, "lastActiveAt", row->active_ms);
	cx_jsonw_time(w, "pausedAt", row->paused_ms);
	cx_jsonw_time(w, "expiresAt", row->expires_ms);
	cx_jsonw_time(w, "idleExpiresAt", cx_lifetime_idle_end(row));
	if (row->lease_s > 0)
		cx_jsonw_int(w, "leaseSeconds", row->lease_s);
	else
		cx_jsonw_null(w, "leaseSeconds");
}

void cx_present_open(struct cx_jsonw *w, const struct cx_gateway *gw,
		     const struct cx_sandbox_row *row, const char *agent)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "id", row->id);
	cx_jsonw_text(w, "name", row->name);
	cx_jsonw_text(w, "dockerImage", row->image);
	write_life(w, row);
	write_place(w, gw, row);
	write_limits(w, row);
	write_start(w, row->start_command, agent);
	write_json(w, "environmentVars", row->environment_vars);
	write_secrets(w, row->secret_names);
	write_json(w, "labels", row->labels);
	cx_jsonw_bool(w, "vm", false);
	cx_jsonw_text(w, "userId", row->user_id);
	cx_jsonw_text(w, "teamId", row->team_id);
	cx_jsonw_text(w, "region", row->region);
	cx_jsonw_null(w, "pendingImageBuildId");
	cx_jsonw_null(w, "kubernetesJobId");
	cx_jsonw_null(w, "registryCredentialsId");
	write_json(w, "notices", row->notices);
}

void cx_present_sandbox(struct cx_jsonw *w, const struct cx_gateway *gw,
			const struct cx_sandbox_row *row, const char *agent)
{
	cx_present_open(w, gw, row, agent);
	cx_jsonw_end(w);
}
