/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/output.h"

#define SANDBOXES "/api/v1/sandbox"

enum {
	PAGE = 100,
	PAGES_MAX = 10000,
	WAIT_PAUSE_MS = 250,
	FOLLOW_PATIENCE_MS = 24 * 3600 * 1000, /* nothing may be printed for a day */
	FOLLOW_TRIES = 240,		       /* to go on with a log: two minutes */
	FOLLOW_PAUSE_MS = 500,
	WAIT_LOOKS_MAX = 7 * 3600 * 4,	      /* the engine gives up before */
	COMMIT_PATIENCE_MS = 2 * 3600 * 1000, /* the same */
};

/* ---- create --------------------------------------------------------------------------------- */

int cx_cli_set_texts(json_t *body, const char *key, const struct cx_texts *texts,
		     struct cx_err *err)
{
	json_t *list = texts->n > 0 ? json_array() : NULL;

	for (size_t i = 0; list != NULL && i < texts->n; i++)
		if (json_array_append_new(list, json_string(texts->items[i])) < 0) {
			json_decref(list);
			return cx_refuse(err, CX_INVALID, "a text of '%s' is not UTF-8", key);
		}
	return texts->n > 0 ? cx_cli_set(body, key, list, err) : 0;
}

static int set_numbers(json_t *body, const struct cx_args *a, struct cx_err *err)
{
	const struct {
		const char *key;
		double value; /* -1: unset */
		bool whole;
	} numbers[] = {
		{ "cpu_cores", a->cpu_cores, false },
		{ "memory_gb", a->memory_gb, false },
		{ "disk_size_gb", a->disk_gb, false },
		{ "pids_limit", a->pids, true },
		{ "timeout_minutes", a->timeout_minutes, false },
		{ "idle_timeout_minutes", a->idle_timeout_minutes, false },
	};

	for (size_t i = 0; i < CX_LEN(numbers); i++) {
		double v = numbers[i].value;

		if (v >= 0 &&
		    cx_cli_set(body, numbers[i].key,
			       numbers[i].whole ? json_integer((json_int_t)v) : json_real(v),
			       err) < 0)
			return -err->errnum;
	}
	if (a->lease_s >= 0 &&
	    cx_cli_set(body, "lease",
		       json_pack("{s:I}", "heartbeat_seconds", (json_int_t)a->lease_s), err) < 0)
		return -err->errnum;
	if (a->no_timeout && a->timeout_minutes >= 0)
		return cx_refuse(err, CX_INVALID, "--timeout-minutes and --no-timeout: just one");
	return a->no_timeout ? cx_cli_set(body, "timeout_minutes", json_integer(-1), err) : 0;
}

int cx_create_body(const struct cx_args *a, const char *image, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();

	if (cx_cli_set_text(body, "docker_image", image, err) < 0 ||
	    cx_cli_set_text(body, "name", a->name, err) < 0 ||
	    cx_cli_set_text(body, "start_command", a->start_command, err) < 0 ||
	    cx_cli_set_text(body, "pull_policy", a->policy, err) < 0 ||
	    cx_cli_set_text(body, "scratch", a->scratch, err) < 0 ||
	    set_numbers(body, a, err) < 0 ||
	    cx_cli_set_pairs(body, "environment_vars", &a->env, err) < 0 ||
	    cx_cli_set_pairs(body, "secrets", &a->secrets, err) < 0 ||
	    cx_cli_set_texts(body, "labels", &a->labels, err) < 0 ||
	    cx_cli_set_texts(body, "network_allowlist", &a->net_allow, err) < 0 ||
	    cx_cli_set_texts(body, "network_denylist", &a->net_deny, err) < 0 ||
	    cx_cli_set_text(body, "network", a->net_name, err) < 0)
		return -err->errnum;
	if (a->network >= 0 &&
	    cx_cli_set(body, "network_access", json_boolean(a->network), err) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&body);
	return 0;
}

/* 1: it runs, or did; 0: not yet; -errno: it never will. */
static int has_begun(const json_t *sandbox, struct cx_err *err)
{
	const char *status = json_string_value(json_object_get(sandbox, "status"));
	const char *why = json_string_value(json_object_get(sandbox, "errorMessage"));

	if (status == NULL)
		return cx_refuse(err, CX_INTERNAL, "the answer is no sandbox");
	if (strcmp(status, "PENDING") == 0 || strcmp(status, "PROVISIONING") == 0)
		return 0;
	if (strcmp(status, "RUNNING") == 0 || json_is_string(json_object_get(sandbox, "startedAt")))
		return 1;
	return cx_refuse(err, CX_UNAVAILABLE, "the sandbox is %.32s: %s", status,
			 why != NULL ? why : "nobody says why");
}

/* Only to be looked at: what becomes of the pull stands in the sandbox. */
static void show_pull(struct cx_cli *cli)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *done = NULL;
	struct cx_err ignored;

	if (!cx_output_is_data(cli) &&
	    cx_cli_set_text(body, "image", cli->args.words[0], &ignored) == 0 &&
	    cx_cli_set_text(body, "policy", "missing", &ignored) == 0)
		(void)!cx_events_call(cli, "/api/v1/images/pull", body, &done, &ignored);
}

int cx_create_wait(struct cx_cli *cli, json_t **sandbox, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	struct pollfd signals = { .fd = cli->signals, .events = POLLIN };
	const char *id = json_string_value(json_object_get(*sandbox, "id"));
	int begun = has_begun(*sandbox, err);

	if (begun == 0 && cx_cli_sandbox_path(&path, id != NULL ? id : "", "", err) < 0)
		return -err->errnum;
	if (begun == 0)
		show_pull(cli);
	for (unsigned i = 0; begun == 0 && cli->signo == 0; i++) {
		json_t *now = NULL;

		if (i == WAIT_LOOKS_MAX)
			return cx_refuse(err, CX_TIMEOUT, "the sandbox does not begin");
		if (cx_cli_call(cli, "GET", path.p, NULL, &now, err) < 0)
			return -err->errnum;
		json_decref(*sandbox);
		*sandbox = now;
		begun = has_begun(now, err);
		if (begun == 0) /* a signal is read by the next call */
			(void)poll(&signals, 1, WAIT_PAUSE_MS);
	}
	return begun < 0 ? begun : 0;
}

int cx_cmd_create(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = NULL;
	CX_AUTO(json_decrefp) json_t *made = NULL;

	if (cx_create_body(&cli->args, cli->args.words[0], &body, err) < 0 ||
	    cx_cli_call(cli, "POST", SANDBOXES, body, &made, err) < 0 ||
	    cx_create_wait(cli, &made, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, made, err);
	cx_cli_print_word(json_string_value(json_object_get(made, "id")), stdout);
	(void)putchar('\n');
	return 0;
}

/* ---- list ----------------------------------------------------------------------------------- */

static int list_path(const struct cx_args *a, bool with_ended, int page, struct cx_buf *out,
		     struct cx_err *err)
{
	char text[96];

	out->max = 64 << 10;
	out->len = 0;
	if (cx_format(text, sizeof text, SANDBOXES "?per_page=%d&page=%d%s", err, PAGE, page,
		      with_ended ? "" : "&is_active=true") < 0 ||
	    cx_buf_add(out, text, strlen(text), err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < a->labels.n; i++)
		if (cx_http_query(out, "labels", a->labels.items[i], "", err) < 0)
			return -err->errnum;
	if (cx_http_query(out, "status", a->status, "", err) < 0)
		return -err->errnum;
	return cx_buf_add(out, "", 1, err);
}

int cx_list_all(struct cx_cli *cli, bool with_ended, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *all = json_array();
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };

	for (int page = 1; page <= PAGES_MAX; page++) {
		CX_AUTO(json_decrefp) json_t *answer = NULL;
		json_t *part;

		if (list_path(&cli->args, with_ended, page, &path, err) < 0 ||
		    cx_cli_call(cli, "GET", path.p, NULL, &answer, err) < 0)
			return -err->errnum;
		part = json_object_get(answer, "sandboxes");
		if (!json_is_array(part) || json_array_extend(all, part) < 0)
			return cx_refuse(err, CX_INTERNAL, "the answer holds no list of sandboxes");
		if (!json_is_true(json_object_get(answer, "hasNext")))
			break;
	}
	*ret = cx_take_ptr(&all);
	return 0;
}

static const struct cx_column columns[] = {
	{ "ID", "id", CX_CELL_TEXT },
	{ "NAME", "name", CX_CELL_TEXT },
	{ "IMAGE", "dockerImage", CX_CELL_TEXT },
	{ "STATUS", "status", CX_CELL_TEXT },
	{ "CPUS", "cpuCores", CX_CELL_TEXT },
	{ "GB", "memoryGB", CX_CELL_TEXT },
	{ "CREATED", "createdAt", CX_CELL_TEXT },
};

int cx_cmd_list(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *all = NULL;

	if (cx_list_all(cli, cli->args.all || cli->args.status != NULL, &all, err) < 0)
		return -err->errnum;
	return cx_output_list(cli, all, columns, CX_LEN(columns), err);
}

/* ---- one sandbox ---------------------------------------------------------------------------- */

static int get(struct cx_cli *cli, const char *tail, json_t **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };

	if (cx_cli_sandbox_path(&path, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, "GET", path.p, NULL, ret, err);
}

static int show(struct cx_cli *cli, const char *tail, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *object = NULL;

	if (get(cli, tail, &object, err) < 0)
		return -err->errnum;
	return cx_output_object(cli, object, err);
}

int cx_cmd_get(struct cx_cli *cli, struct cx_err *err)
{
	return show(cli, "", err);
}

int cx_cmd_usage(struct cx_cli *cli, struct cx_err *err)
{
	return show(cli, "/usage", err);
}

struct log {
	uint64_t begins, at; /* of the answer, and what was printed, as places in the log */
	unsigned failures;   /* since the last answer */
	bool begun;
};

/* What is missing between two answers is said. The first begins where the log does by now. */
static void note_begin(struct log *log)
{
	if (log->begun && log->begins > log->at)
		(void)fprintf(stderr, "caisson: %llu bytes of the log were missed\n",
			      (unsigned long long)(log->begins - log->at));
	log->at = log->begins;
	log->begins = UINT64_MAX;
	log->begun = true;
	log->failures = 0;
}

static int take_log(void *arg, const char *bytes, size_t len, struct cx_err *err)
{
	struct log *log = arg;

	if (log->begins != UINT64_MAX)
		note_begin(log);
	log->at += len;
	return cx_write_all(STDOUT_FILENO, bytes, len, err);
}

static int read_log(struct cx_cli *cli, struct log *log, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	struct cx_call call = { .method = "GET",
				.take = take_log,
				.take_arg = log,
				.number = "Log-Offset",
				.ret_number = &log->begins,
				.timeout_ms = FOLLOW_PATIENCE_MS };
	char tail[64];

	log->begins = UINT64_MAX;
	if (cx_format(tail, sizeof tail, "/logs/follow?offset=%llu", err,
		      (unsigned long long)log->at) < 0 ||
	    cx_cli_sandbox_path(&path, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	call.path = path.p;
	return cx_cli_call_raw(cli, &call, NULL, NULL, err);
}

/* The server that ended in the middle is mostly started anew. */
static bool may_go_on(struct cx_cli *cli, struct log *log, const struct cx_err *err)
{
	struct pollfd signals = { .fd = cli->signals, .events = POLLIN };

	if (log->begins != UINT64_MAX)
		note_begin(log);
	if (!log->begun || err->kind != CX_UNAVAILABLE || cli->signo != 0 ||
	    log->failures++ == FOLLOW_TRIES)
		return false;
	return poll(&signals, 1, FOLLOW_PAUSE_MS) == 0;
}

static int follow_log(struct cx_cli *cli, struct cx_err *err)
{
	struct log log = { 0 };
	int r;

	if (cx_output_is_data(cli))
		return cx_refuse(err, CX_INVALID,
				 "--follow prints the log as it comes; leave "
				 "--output out");
	do
		r = read_log(cli, &log, err);
	while (r < 0 && may_go_on(cli, &log, err));
	return r;
}

int cx_cmd_logs(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *object = NULL;
	json_t *logs;

	if (cli->args.follow)
		return follow_log(cli, err);
	if (get(cli, "/logs", &object, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, object, err);
	logs = json_object_get(object, "logs");
	if (fwrite(json_string_length(logs) > 0 ? json_string_value(logs) : "", 1,
		   json_string_length(logs), stdout) < json_string_length(logs))
		return cx_fail(err, errno, "write the log");
	return 0;
}

int cx_cmd_commit(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *image = NULL;
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	struct cx_call call = { .method = "POST", .timeout_ms = COMMIT_PATIENCE_MS };

	if (cx_cli_sandbox_path(&path, a->words[0], "/commit", err) < 0 ||
	    cx_cli_set_text(body, "image", a->words[1], err) < 0 ||
	    cx_cli_set_text(body, "message", a->message, err) < 0 ||
	    cx_cli_set_text(body, "author", a->author, err) < 0)
		return -err->errnum;
	call.path = path.p;
	if (cx_cli_call_raw(cli, &call, body, &image, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, image, err);
	cx_image_print_name(image);
	return 0;
}
