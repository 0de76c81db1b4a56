/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/clean.h"
#include "base/jsonload.h"

enum { PATH_MAX_BYTES = 4096 };

int cx_cli_error_of(json_t *body, unsigned status, struct cx_err *err)
{
	static const struct {
		unsigned status;
		enum cx_kind kind;
	} kinds[] = {
		{ 400, CX_INVALID },	 { 401, CX_DENIED },  { 403, CX_DENIED },
		{ 404, CX_NOT_FOUND },	 { 405, CX_INVALID }, { 409, CX_CONFLICT },
		{ 413, CX_INVALID },	 { 422, CX_INVALID }, { 429, CX_BUSY },
		{ 503, CX_UNAVAILABLE }, { 504, CX_TIMEOUT }, { 507, CX_LIMIT },
		{ 402, CX_SPENT },
	};
	const char *detail = json_string_value(json_object_get(body, "detail"));
	const char *code = json_string_value(json_object_get(body, "code"));
	unsigned kind = CX_INTERNAL;

	for (size_t i = 0; i < CX_LEN(kinds); i++)
		if (kinds[i].status == status)
			kind = kinds[i].kind;
	for (unsigned k = 0; code != NULL && k < CX_KIND_MAX; k++)
		if (strcmp(code, cx_kind_name(k)) == 0)
			kind = k;
	if (detail != NULL)
		return cx_refuse(err, (enum cx_kind)kind, "%s", detail);
	return cx_refuse(err, (enum cx_kind)kind, "the server answered with HTTP status %u",
			 status);
}

int cx_exit_status(const struct cx_err *err)
{
	static const int status[CX_KIND_MAX] = {
		[CX_INTERNAL] = 1, [CX_INVALID] = 3, [CX_DENIED] = 4,  [CX_NOT_FOUND] = 5,
		[CX_CONFLICT] = 6, [CX_LIMIT] = 7,   [CX_TIMEOUT] = 8, [CX_UNAVAILABLE] = 9,
		[CX_BUSY] = 7,	   [CX_SPENT] = 7,
	};

	return err->errnum == 0 ? 0 : status[err->kind < CX_KIND_MAX ? err->kind : CX_INTERNAL];
}

int cx_cli_call_raw(struct cx_cli *cli, struct cx_call *call, const json_t *body, json_t **ret_json,
		    struct cx_err *err)
{
	cx_autofree char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	CX_AUTO(cx_reply_free) struct cx_reply reply = { .sock = -EBADF };
	CX_AUTO(json_decrefp) json_t *json = NULL;

	if (body != NULL && text == NULL)
		return cx_refuse(err, CX_INVALID, "the request holds text that is not UTF-8");
	call->body = text;
	call->body_len = text != NULL ? strlen(text) : 0;
	call->signals = cli->signals;
	call->ret_signo = &cli->signo;
	if (cx_http_call(&cli->target, call, &reply, err) < 0)
		return -err->errnum;
	json = cx_json_load(reply.body.p != NULL ? reply.body.p : "", reply.body.len, 0, NULL);
	if (reply.status < 200 || reply.status > 299)
		return cx_cli_error_of(json, reply.status, err);
	if (ret_json == NULL)
		return 0;
	if (!json_is_object(json))
		return cx_refuse(err, CX_INTERNAL, "the server's answer is not a JSON object");
	*ret_json = cx_take_ptr(&json);
	return 0;
}

int cx_cli_call(struct cx_cli *cli, const char *method, const char *path, const json_t *body,
		json_t **ret_json, struct cx_err *err)
{
	struct cx_call call = { .method = method, .path = path };

	return cx_cli_call_raw(cli, &call, body, ret_json, err);
}

int cx_cli_sandbox_path(struct cx_buf *out, const char *id, const char *tail, struct cx_err *err)
{
	static const char front[] = "/api/v1/sandbox/";

	out->max = PATH_MAX_BYTES;
	if (*id == '\0')
		return cx_refuse(err, CX_INVALID, "the sandbox's id is empty");
	if (cx_buf_add(out, front, sizeof front - 1, err) < 0 ||
	    cx_http_escape(out, id, "", err) < 0)
		return cx_wrap(err, "sandbox '%.40s'", id);
	return cx_buf_add(out, tail, strlen(tail) + 1, err);
}

int cx_cli_set(json_t *object, const char *key, json_t *value, struct cx_err *err)
{
	if (value == NULL || json_object_set_new(object, key, value) < 0)
		return cx_refuse(err, CX_INVALID, "'%.60s' is not UTF-8 or too large", key);
	return 0;
}

int cx_cli_set_text(json_t *object, const char *key, const char *text, struct cx_err *err)
{
	return text != NULL ? cx_cli_set(object, key, json_string(text), err) : 0;
}

int cx_cli_set_pairs(json_t *object, const char *key, const struct cx_texts *pairs,
		     struct cx_err *err)
{
	json_t *map = pairs->n > 0 ? json_object() : NULL;

	if (pairs->n == 0)
		return 0;
	if (cx_cli_set(object, key, map, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < pairs->n; i++) {
		const char *text = pairs->items[i], *equals = strchr(text, '=');
		cx_autofree char *name = strndup(text, strcspn(text, "="));

		if (name == NULL)
			return cx_fail(err, ENOMEM, "environment");
		if (cx_cli_set(map, name, json_string(equals != NULL ? equals + 1 : getenv(text)),
			       err) < 0)
			return -err->errnum;
	}
	return 0;
}

int cx_cli_take_signals(struct cx_cli *cli, struct cx_err *err)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < CX_LEN(numbers); i++)
		(void)sigaddset(&set, numbers[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return cx_fail(err, errno, "block signals");
	cli->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return cli->signals < 0 ? cx_fail(err, errno, "signalfd") : 0;
}

void cx_cli_print_word(const char *text, FILE *to)
{
	cx_autofree char *shown = strdup(text != NULL ? text : "-");

	if (shown == NULL)
		return;
	cx_clean(shown, strlen(shown));
	(void)fputs(shown, to);
}

/* A terminal is given ASCII: what stands in an image's documents could drive it. */
int cx_cli_print_event(const json_t *value, struct cx_err *err)
{
	size_t flags = JSON_COMPACT | (isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0);

	if (json_dumpf(value, stdout, flags) < 0 || putchar('\n') == EOF || fflush(stdout) == EOF)
		return cx_fail(err, errno, "write the output");
	return 0;
}

bool cx_cli_wants_events(const struct cx_cli *cli)
{
	return cli->args.output != NULL && strcmp(cli->args.output, "json") == 0;
}
