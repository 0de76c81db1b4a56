/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/remote.h"

/*
 * A job is a command whose life, output and end are files of its sandbox: /tmp/job_ID.launch/pid,
 * .stdout.log, .stderr.log and .exit, as Prime's SDKs have them, so that either sees the other's.
 * The logs are links to /var/tmp, where the disk's limit counts them: /tmp is memory.
 * It needs nobody outside; only a shell, cat, grep, mkdir and tr inside.
 */
enum {
	ID_BYTES = 4,
	LOOK_MS = 300,
	STOP_SECONDS = 60,
	OUTPUT_PATIENCE_MS = 3600 * 1000,
	RESTART_PATIENCE_MS = 60 * 1000, /* for an engine that is just started anew */
};

/* $1: id, then the command. It returns when the job has said that it runs. */
static const char launch_script[] =
	"export CAISSON_JOB=$1; b=/tmp/job_$1; shift\n"
	"mkdir \"$b.launch\" || exit 1\n"
	"printf '%s\\n' \"$*\" >\"$b.launch/command\"\n"
	"l=/var/tmp${b#/tmp}; mkdir -p /var/tmp 2>/dev/null\n"
	"for s in stdout stderr; do\n"
	"{ : >\"$l.$s.log\" && ln -s \"$l.$s.log\" \"$b.$s.log\"; } 2>/dev/null\n"
	"done\n"
	"ack=$(/bin/sh -c 'trap \"\" HUP; b=${0%.exit}\n"
	"echo $$ >\"$b.launch/pid\" || exit 1; echo started; exec >/dev/null 2>&1\n"
	"\"$@\" >\"$b.stdout.log\" 2>\"$b.stderr.log\"; echo $? >\"$0\"'"
	" \"$b.exit\" \"$@\" </dev/null 2>&1 &)\n"
	"test \"$ack\" = started || { echo \"it did not start: $ack\" >&2; exit 1; }\n";

/*
 * $1: id, or all. A line each: id, state, pid, exit status, command. One is alive while the command
 * line of its pid names its file, so that no later process is taken for it; the file is read again
 * after that look, because it may just have been written.
 */
static const char list_script[] =
	"for d in /tmp/job_${1:-*}.launch; do\n"
	"test -d \"$d\" || continue\n"
	"b=${d%.launch}; p=$(cat \"$d/pid\"); x=$(cat \"$b.exit\"); s=exited\n"
	"if test -z \"$x\" && tr '\\0' '\\n' <\"/proc/$p/cmdline\" | grep -qF \"$b.exit\"; then\n"
	"s=running\n"
	"elif test -z \"$x\"; then x=$(cat \"$b.exit\"); test -n \"$x\" || s=lost; fi\n"
	"c=; read -r c <\"$d/command\"\n"
	"printf '%s %s %s %s %s\\n' \"${b#/tmp/job_}\" $s \"${p:--}\" \"${x:--}\" \"$c\"\n"
	"done 2>/dev/null\n";

/*
 * $1: id, $2: signal, $3: "" or how many looks it has to end before it is killed. All of it but its
 * shell, which writes how it ended, has its mark in the environment, wherever it has moved to.
 */
static const char stop_script[] =
	"b=/tmp/job_$1; p=$(cat \"$b.launch/pid\") || exit 1; i=0\n"
	"send() {\n"
	"for e in /proc/[0-9]*/environ; do q=${e%/environ}; q=${q#/proc/}\n"
	"test $q != $p && tr '\\0' '\\n' <$e | grep -qxF \"CAISSON_JOB=$2\" && kill -$1 $q\n"
	"done 2>/dev/null; return 0; }\n"
	"send $2 $1; test -n \"$3\" || exit 0\n"
	"while test ! -s \"$b.exit\" && test $i -lt $3; do\n"
	"i=$((i+1)); sleep 0.1 2>/dev/null || sleep 1; done\n"
	"send KILL $1\n";

/* ---- scripts inside ------------------------------------------------------------------------- */

static int job_id(const char *text, struct cx_err *err)
{
	if (strlen(text) == 2 * ID_BYTES && strspn(text, "0123456789abcdefABCDEF") == strlen(text))
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "'%.60s' is no id of a job: those are %d hexadecimal digits", text,
			 2 * ID_BYTES);
}

static void rest_a_while(struct cx_cli *cli)
{
	struct pollfd signals = { .fd = cli->signals, .events = POLLIN };

	(void)poll(&signals, 1, LOOK_MS);
}

/* For what may be done twice: an engine that is started anew answers again soon. */
static int call_again(struct cx_cli *cli, const char *method, const char *path, const json_t *body,
		      json_t **ret, struct cx_err *err)
{
	const uint64_t until = cx_now_ms() + RESTART_PATIENCE_MS;
	int r;

	while ((r = cx_cli_call(cli, method, path, body, ret, err)) < 0 &&
	       err->kind == CX_UNAVAILABLE && cx_now_ms() < until)
		rest_a_while(cli);
	return r;
}

/*
 * Runs argv (taken over) and gives what it printed; what it says of a failure is the error. once:
 * it must not be done again.
 */
static int run_inside(struct cx_cli *cli, json_t *argv, bool once, json_t **ret, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *end = NULL;
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	const char *said;

	if (cx_cli_set(body, "command", argv, err) < 0 ||
	    cx_cli_set(body, "timeout", json_integer(STOP_SECONDS), err) < 0 ||
	    cx_cli_set_pairs(body, "env", &a->env, err) < 0 ||
	    cx_cli_set_text(body, "working_dir", a->cwd, err) < 0 ||
	    cx_cli_set_text(body, "user", a->user, err) < 0 ||
	    cx_cli_sandbox_path(&path, a->words[0], "/exec", err) < 0 ||
	    (once ? cx_cli_call : call_again)(cli, "POST", path.p, body, &end, err) < 0)
		return -err->errnum;
	said = json_string_value(json_object_get(end, "stderr"));
	if (json_integer_value(json_object_get(end, "exit_code")) != 0 ||
	    !json_is_integer(json_object_get(end, "exit_code")))
		return cx_refuse(err, CX_UNAVAILABLE, "the sandbox cannot do it: %.300s",
				 said != NULL && *said != '\0' ? said : "it says no more");
	*ret = json_incref(json_object_get(end, "stdout"));
	return 0;
}

static int script(struct cx_cli *cli, const char *text, const char *id, json_t **ret,
		  struct cx_err *err)
{
	return run_inside(cli, json_pack("[s, s, s, s, s]", "/bin/sh", "-c", text, "jobs", id),
			  false, ret, err);
}

/* ---- start ---------------------------------------------------------------------------------- */

static int launch_argv(const struct cx_args *a, const char *id, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp)
	json_t *argv = json_pack("[s, s, s, s, s]", "/bin/sh", "-c", launch_script, "jobs", id);
	CX_AUTO(json_decrefp) json_t *command = NULL;

	if (cx_run_command(a, &command, err) < 0)
		return -err->errnum;
	if (json_is_string(command) && (json_array_append_new(argv, json_string("/bin/sh")) < 0 ||
					json_array_append_new(argv, json_string("-c")) < 0 ||
					json_array_append(argv, command) < 0))
		return cx_fail(err, ENOMEM, "a job");
	if (json_is_array(command) && json_array_extend(argv, command) < 0)
		return cx_fail(err, ENOMEM, "a job");
	*ret = cx_take_ptr(&argv);
	return 0;
}

int cx_cmd_jobs_start(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *out = NULL;
	CX_AUTO(json_decrefp) json_t *made = NULL;
	json_t *argv = NULL;
	uint8_t random[ID_BYTES];
	char id[2 * ID_BYTES + 1];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return cx_fail(err, errno, "random id");
	cx_to_hex(random, sizeof random, id);
	if (launch_argv(&cli->args, id, &argv, err) < 0 ||
	    run_inside(cli, argv, true, &out, err) < 0)
		return -err->errnum;
	if (!cx_output_is_data(cli)) {
		(void)puts(id);
		return 0;
	}
	made = json_pack("{s: s}", "id", id);
	return cx_output_data(cli, made, err);
}

/* ---- list ----------------------------------------------------------------------------------- */

/* "ID STATE PID EXIT COMMAND", written inside: whatever it is, it becomes words only. */
static int add_job(json_t *list, const char *line, size_t len, struct cx_err *err)
{
	static const char *const keys[] = { "id", "status", "pid", "exitCode", "command" };
	CX_AUTO(json_decrefp) json_t *job = json_object();

	for (size_t i = 0; i < CX_LEN(keys); i++) {
		const char *space = i + 1 < CX_LEN(keys) ? memchr(line, ' ', len) : NULL;
		size_t n = space != NULL ? (size_t)(space - line) : len;

		if (n > 0 && !(n == 1 && *line == '-') &&
		    cx_cli_set(job, keys[i], json_stringn(line, n), err) < 0)
			return -err->errnum;
		line += n + (space != NULL);
		len -= n + (space != NULL);
	}
	return json_array_append(list, job) < 0 ? cx_fail(err, ENOMEM, "jobs") : 0;
}

static int read_jobs(struct cx_cli *cli, const char *id, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *out = NULL;
	CX_AUTO(json_decrefp) json_t *list = json_array();
	const char *line, *end;

	if (script(cli, list_script, id, &out, err) < 0)
		return -err->errnum;
	line = json_string_value(out);
	for (; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1)
		if (add_job(list, line, (size_t)(end - line), err) < 0)
			return -err->errnum;
	*ret = cx_take_ptr(&list);
	return 0;
}

int cx_cmd_jobs_list(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "JOB", "id", CX_CELL_TEXT },		{ "STATUS", "status", CX_CELL_TEXT },
		{ "PID", "pid", CX_CELL_TEXT },		{ "EXIT", "exitCode", CX_CELL_TEXT },
		{ "COMMAND", "command", CX_CELL_TEXT },
	};
	CX_AUTO(json_decrefp) json_t *list = NULL;

	if (read_jobs(cli, "", &list, err) < 0)
		return -err->errnum;
	return cx_output_list(cli, list, columns, CX_LEN(columns), err);
}

/* Is it over? Then *ret_status is what it ended with. */
static int look(struct cx_cli *cli, bool *ret_over, int *ret_status, struct cx_err *err)
{
	const char *id = cli->args.words[1], *status, *exit;
	CX_AUTO(json_decrefp) json_t *list = NULL;
	json_t *job;

	if (job_id(id, err) < 0 || read_jobs(cli, id, &list, err) < 0)
		return -err->errnum;
	job = json_array_get(list, 0);
	if (job == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the sandbox has no job '%.60s'", id);
	status = json_string_value(json_object_get(job, "status"));
	exit = json_string_value(json_object_get(job, "exitCode"));
	*ret_over = status == NULL || strcmp(status, "running") != 0;
	if (*ret_over && exit == NULL)
		return cx_refuse(err, CX_UNAVAILABLE,
				 "the job was killed before it could say how it ended");
	*ret_status = exit != NULL ? atoi(exit) & 0xff : 0;
	return 0;
}

static bool is_there(struct cx_cli *cli)
{
	static const char *const states[] = { "RUNNING", "PAUSED" };
	CX_AUTO(json_decrefp) json_t *sandbox = NULL;
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	const char *status = NULL;
	bool found = false;
	struct cx_err err;

	if (cx_cli_sandbox_path(&path, cli->args.words[0], "", &err) == 0 &&
	    call_again(cli, "GET", path.p, NULL, &sandbox, &err) == 0)
		status = json_string_value(json_object_get(sandbox, "status"));
	for (size_t i = 0; i < CX_LEN(states); i++)
		found = found || (status != NULL && strcmp(status, states[i]) == 0);
	return found;
}

/* A sandbox that is paused (or just is not) does nothing, its job neither: that goes on later. */
static int look_unless_paused(struct cx_cli *cli, bool *ret_over, int *ret_status,
			      struct cx_err *err)
{
	int r = look(cli, ret_over, ret_status, err);

	if (r == 0 || err->kind != CX_CONFLICT || !is_there(cli))
		return r;
	*ret_over = false;
	return 0;
}

int cx_cmd_jobs_wait(struct cx_cli *cli, struct cx_err *err)
{
	int status = 0;

	for (bool over = false; !over;) {
		if (look_unless_paused(cli, &over, &status, err) < 0)
			return -err->errnum;
		if (!over)
			rest_a_while(cli);
	}
	return status;
}

/* ---- output --------------------------------------------------------------------------------- */

static int take_output(void *arg, const char *bytes, size_t len, struct cx_err *err)
{
	uint64_t *offset = arg;

	*offset += len;
	return cx_write_all(STDOUT_FILENO, bytes, len, err);
}

static int read_output(struct cx_cli *cli, uint64_t *offset, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf url = { 0 };
	struct cx_call call = { .method = "GET",
				.take = take_output,
				.take_arg = offset,
				.timeout_ms = OUTPUT_PATIENCE_MS };
	char path[64], from[24];

	if (cx_format(path, sizeof path, "/tmp/job_%s.%s.log", err, cli->args.words[1],
		      cli->args.of_stderr ? "stderr" : "stdout") < 0 ||
	    cx_format(from, sizeof from, "%llu", err, (unsigned long long)*offset) < 0 ||
	    cx_remote_url(cli, &url, "/files", path, err) < 0 ||
	    cx_remote_param(&url, "offset", from, err) < 0)
		return -err->errnum;
	call.path = url.p;
	return cx_cli_call_raw(cli, &call, NULL, NULL, err);
}

/* After its end once more: what was written last was written before that was seen. */
int cx_cmd_jobs_output(struct cx_cli *cli, struct cx_err *err)
{
	uint64_t offset = cli->args.offset > 0 ? (uint64_t)cli->args.offset : 0;
	int ignored;

	for (bool over = false; cli->args.follow && !over;) {
		if (look_unless_paused(cli, &over, &ignored, err) < 0)
			return -err->errnum;
		if (!over && read_output(cli, &offset, err) < 0 && err->kind != CX_NOT_FOUND &&
		    ((err->kind != CX_CONFLICT && err->kind != CX_UNAVAILABLE) || !is_there(cli)))
			return -err->errnum;
		if (!over)
			rest_a_while(cli);
	}
	return job_id(cli->args.words[1], err) < 0 ? -err->errnum : read_output(cli, &offset, err);
}

/* ---- stop ----------------------------------------------------------------------------------- */

int cx_cmd_jobs_stop(struct cx_cli *cli, struct cx_err *err)
{
	const char *id = cli->args.words[1], *signal = cli->args.signal;
	const char *name = signal != NULL && strncmp(signal, "SIG", 3) == 0 ? signal + 3 : signal;
	CX_AUTO(json_decrefp) json_t *out = NULL;

	if (job_id(id, err) < 0)
		return -err->errnum;
	if (name != NULL && (*name == '\0' || strlen(name) > 12 ||
			     strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(name)))
		return cx_refuse(err, CX_INVALID, "'%.40s' is no signal; write TERM, INT or 9",
				 signal);
	return run_inside(cli,
			  json_pack("[s, s, s, s, s, s, s]", "/bin/sh", "-c", stop_script, "jobs",
				    id, name != NULL ? name : "TERM", name != NULL ? "" : "100"),
			  true, &out, err);
}
