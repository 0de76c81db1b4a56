/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/jsonload.h"
#include "base/str.h"
#include "cli/code.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/stream.h"
#include "cli/term.h"

/* One word is text for a shell, as the product's documents write it; several are a program. */
int cx_run_command(const struct cx_args *a, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *argv = json_array();

	if (cx_args_have_code(a))
		return cx_code_command(a, ret, err);
	for (size_t i = 0; i < a->nrest; i++)
		if (json_array_append_new(argv, json_string(a->rest[i])) < 0)
			return cx_refuse(err, CX_INVALID, "the command is not UTF-8");
	if (a->nrest == 1 && !a->dashes)
		*ret = json_incref(json_array_get(argv, 0));
	else
		*ret = cx_take_ptr(&argv);
	return 0;
}

enum { GIB = 1 << 30 };

static int set_window(json_t *body, struct cx_err *err)
{
	uint16_t rows, cols;

	cx_term_size(STDOUT_FILENO, &rows, &cols);
	if (cx_cli_set(body, "tty", json_true(), err) < 0 ||
	    cx_cli_set(body, "rows", json_integer(rows), err) < 0)
		return -err->errnum;
	return cx_cli_set(body, "cols", json_integer(cols), err);
}

static int set_limits(json_t *body, const struct cx_args *a, bool memory, struct cx_err *err)
{
	const struct {
		const char *field;
		double value, unit;
	} limits[] = {
		{ "memory_bytes", memory ? a->memory_gb : -1, GIB },
		{ "processes", a->processes, 1 },
		{ "output_bytes", a->output_gb, GIB },
		{ "file_bytes", a->file_gb, GIB },
		{ "open_files", a->open_files, 1 },
		{ "stack_bytes", a->stack_gb, GIB },
	};

	for (size_t i = 0; i < CX_LEN(limits); i++)
		if (limits[i].value >= 0 &&
		    cx_cli_set(body, limits[i].field,
			       json_integer((json_int_t)(limits[i].value * limits[i].unit)),
			       err) < 0)
			return -err->errnum;
	if (a->quiet_machine && cx_cli_set(body, "quiet_machine", json_true(), err) < 0)
		return -err->errnum;
	if (a->cpu_time_s < 0)
		return 0;
	return cx_cli_set(body, "cpu_time", json_real(a->cpu_time_s), err);
}

static int exec_body(const struct cx_args *a, const struct cx_texts *env, bool tty, json_t **ret,
		     struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	json_t *command;

	if (cx_run_command(a, &command, err) < 0 || cx_cli_set(body, "command", command, err) < 0 ||
	    cx_cli_set_pairs(body, "env", env, err) < 0 || (tty && set_window(body, err) < 0))
		return -err->errnum;
	if (cx_cli_set_text(body, "working_dir", a->cwd, err) < 0 ||
	    cx_cli_set_text(body, "user", a->user, err) < 0 ||
	    cx_cli_set_text(body, "output_file", a->output_file, err) < 0)
		return -err->errnum;
	if (a->timeout_s >= 0 && cx_cli_set(body, "timeout", json_real(a->timeout_s), err) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&body);
	return 0;
}

static int open_stream(struct cx_cli *cli, const char *id, json_t *body, struct cx_reply *ret,
		       struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	CX_AUTO(cx_reply_free) struct cx_reply reply = { .sock = -EBADF };
	cx_autofree char *text = json_dumps(body, JSON_COMPACT);
	struct cx_call call = { .method = "POST",
				.body = text,
				.upgrade = true,
				.signals = cli->signals,
				.ret_signo = &cli->signo };

	if (text == NULL)
		return cx_refuse(err, CX_INVALID, "the command holds text that is not UTF-8");
	if (cx_cli_sandbox_path(&path, id, "/exec", err) < 0)
		return -err->errnum;
	call.path = path.p;
	call.body_len = strlen(text);
	if (cx_http_call(&cli->target, &call, &reply, err) < 0)
		return -err->errnum;
	if (reply.status != 101) {
		answer = cx_json_load(reply.body.p != NULL ? reply.body.p : "", reply.body.len, 0,
				      NULL);
		return cx_cli_error_of(answer, reply.status, err);
	}
	*ret = reply;
	reply = (struct cx_reply){ .sock = -EBADF };
	return 0;
}

static int stream_status(struct cx_stream *stream, struct cx_err *err)
{
	int status = cx_stream_run(stream, err);

	if (status >= 0)
		return status;
	if (err->kind == CX_NOT_FOUND)
		return CX_EXIT_NO_COMMAND;
	return err->kind == CX_DENIED ? CX_EXIT_NOT_EXECUTABLE : CX_EXIT_OWN;
}

/* One object in place of streams. */
static int run_for_result(struct cx_cli *cli, const char *id, json_t *body, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *result = NULL;

	if (cx_cli_sandbox_path(&path, id, "/exec", err) < 0 ||
	    cx_cli_call(cli, "POST", path.p, body, &result, err) < 0 ||
	    cx_output_data(cli, result, err) < 0)
		return -err->errnum;
	return cx_stream_status(result, err);
}

/* It needs nobody from here on. */
static int detach(struct cx_cli *cli, const char *id, json_t *body, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *made = NULL;
	const char *exec_id;

	if (cx_cli_set(body, "detach", json_true(), err) < 0 ||
	    cx_cli_set_text(body, "id", cli->args.exec_id, err) < 0 ||
	    cx_cli_sandbox_path(&path, id, "/exec", err) < 0 ||
	    cx_cli_call(cli, "POST", path.p, body, &made, err) < 0)
		return -err->errnum;
	if (cli->args.output != NULL)
		return cx_output_data(cli, made, err);
	exec_id = json_string_value(json_object_get(made, "exec_id"));
	if (exec_id == NULL)
		return cx_refuse(err, CX_INTERNAL, "the answer names no command");
	cx_cli_print_word(exec_id, stdout);
	(void)putchar('\n');
	return 0;
}

/* Runs the command of the arguments in sandbox id. env: for the command alone. */
static int run_in(struct cx_cli *cli, const char *id, const struct cx_texts *env, bool grace,
		  struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	const bool tty = a->tty || (terminal && !a->no_tty && !a->no_stdin);
	const bool code_is_read = a->code != NULL && strcmp(a->code, "-") == 0;
	CX_AUTO(json_decrefp) json_t *body = NULL;
	CX_AUTO(cx_reply_free) struct cx_reply reply = { .sock = -EBADF };
	CX_AUTO(cx_term_restore) struct cx_term term = { 0 };
	struct cx_stream stream = { .signals = cli->signals,
				    .in = a->no_stdin || code_is_read ? -1 : STDIN_FILENO,
				    .out = STDOUT_FILENO,
				    .err = STDERR_FILENO,
				    .tty = tty,
				    .grace = grace };

	if (a->exec_id != NULL && !a->detach)
		return cx_refuse(err, CX_INVALID, "--id goes together with --detach");
	if (exec_body(a, env, tty && a->output == NULL && !a->detach, &body, err) < 0 ||
	    set_limits(body, a, !grace, err) < 0)
		return -err->errnum;
	if (a->detach)
		return detach(cli, id, body, err);
	if (a->output != NULL)
		return run_for_result(cli, id, body, err);
	if (open_stream(cli, id, body, &reply, err) < 0)
		return -err->errnum;
	stream.sock = reply.sock;
	stream.first = reply.body;
	stream.signo = cli->signo; /* it came while the stream was being opened */
	if (tty && isatty(STDIN_FILENO) && cx_term_raw(&term, STDIN_FILENO, err) < 0)
		return -err->errnum;
	return stream_status(&stream, err);
}

int cx_cmd_run(struct cx_cli *cli, struct cx_err *err)
{
	if (cx_cli_take_signals(cli, err) < 0)
		return -err->errnum;
	return run_in(cli, cli->args.words[0], &cli->args.env, false, err);
}

/* ---- once ----------------------------------------------------------------------------------- */

static int make_name(struct cx_args *a, char *buf, size_t size, struct cx_err *err)
{
	uint8_t random[6];
	char hex[2 * sizeof random + 1];

	if (a->name != NULL)
		return 0;
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return cx_fail(err, errno, "random name");
	cx_to_hex(random, sizeof random, hex);
	a->name = buf;
	return cx_format(buf, size, "once-%s", err, hex) < 0 ? -err->errnum : 0;
}

static int make(struct cx_cli *cli, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = NULL;
	CX_AUTO(json_decrefp) json_t *made = NULL;

	if (cli->args.timeout_minutes < 0) /* it lives as long as its command */
		cli->args.no_timeout = true;
	if (cx_create_body(&cli->args, cli->args.words[0], &body, err) < 0 ||
	    cx_cli_call(cli, "POST", "/api/v1/sandbox", body, &made, err) < 0)
		return -err->errnum;
	if (json_string_value(json_object_get(made, "id")) == NULL)
		return cx_refuse(err, CX_INTERNAL, "the answer names no sandbox");
	*ret = cx_take_ptr(&made);
	return 0;
}

/* A removal that fails is said, but the command's status stands. */
static void unmake(struct cx_cli *cli, const char *id)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	struct cx_err err = { 0 };
	char text[sizeof err.msg + 128];

	cli->signo = 0; /* a signal that is already answered must not cut this short */
	if (cx_cli_sandbox_path(&path, id, "", &err) == 0 &&
	    cx_cli_call(cli, "DELETE", path.p, NULL, NULL, &err) == 0)
		return;
	(void)fprintf(stderr, "caisson: sandbox %s is not removed: %s\n", id,
		      cx_err_render(&err, text, sizeof text));
}

int cx_cmd_once(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_texts none = { .n = 0 };
	CX_AUTO(json_decrefp) json_t *made = NULL;
	char name[32];
	cx_autofree char *id = NULL;
	int status;

	if (cx_cli_take_signals(cli, err) < 0 ||
	    make_name(&cli->args, name, sizeof name, err) < 0 || make(cli, &made, err) < 0)
		return -err->errnum;
	id = strdup(json_string_value(json_object_get(made, "id")));
	if (id == NULL)
		return cx_fail(err, ENOMEM, "an id");
	status = cx_create_wait(cli, &made, err);
	/* Its environment is the sandbox's: what --env gave stands there already. */
	if (cli->signo != 0)
		status = CX_EXIT_SIGNAL + cli->signo;
	else if (status == 0)
		status = run_in(cli, id, &none, true, err);
	unmake(cli, id);
	return status;
}
