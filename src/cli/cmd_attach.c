/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/output.h"

/* Each call waits so long at most; for an engine that is started anew there is more patience. */
enum { WAIT_S = 30, RESTART_PATIENCE_MS = 60 * 1000, LOOK_MS = 300, PAGE_MAX = 65536 };

struct attach {
	uint64_t offset;
	uint64_t lost;
	bool ended;
};

/* GET of what may be asked for twice: an engine, or an agent, that is away comes back soon. */
static int get(struct cx_cli *cli, const char *tail, json_t **ret, struct cx_err *err)
{
	const uint64_t until = cx_now_ms() + RESTART_PATIENCE_MS;
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	int r;

	if (cx_cli_sandbox_path(&path, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	while ((r = cx_cli_call(cli, "GET", path.p, NULL, ret, err)) < 0 &&
	       err->kind == CX_UNAVAILABLE && cx_now_ms() < until)
		(void)poll(NULL, 0, LOOK_MS);
	return r;
}

static int check_id(const char *id, struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (*id != '\0' && strlen(id) <= 64 && id[strspn(id, letters)] == '\0')
		return 0;
	return cx_refuse(err, CX_INVALID, "'%.70s' is no id of a command", id);
}

/* ---- attach ---------------------------------------------------------------------------------- */

static int take_page(struct attach *at, const json_t *page, struct cx_err *err)
{
	const char *data = json_string_value(json_object_get(page, "data"));
	json_int_t next = json_integer_value(json_object_get(page, "next_offset"));
	json_int_t end = json_integer_value(json_object_get(page, "end_offset"));
	json_int_t lost = json_integer_value(json_object_get(page, "lost_bytes"));
	char bytes[PAGE_MAX];
	ptrdiff_t len = data != NULL ? cx_base64_decode(data, bytes, sizeof bytes) : -EINVAL;

	if (len < 0 || next < 0 || end < next || lost < 0)
		return cx_refuse(err, CX_INTERNAL, "the server's answer is no page of output");
	if (lost > 0)
		(void)fprintf(stderr, "caisson: %llu bytes are kept no more\n",
			      (unsigned long long)lost);
	at->offset = (uint64_t)next;
	at->ended = json_is_true(json_object_get(page, "ended")) && next == end;
	return cx_write_all(STDOUT_FILENO, bytes, (size_t)len, err);
}

static int status_of(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *record = NULL;
	const json_t *code, *result;
	char tail[128];

	if (cx_format(tail, sizeof tail, "/exec/%s", err, cli->args.words[1]) < 0 ||
	    get(cli, tail, &record, err) < 0)
		return -err->errnum;
	result = json_object_get(record, "result");
	code = json_object_get(result, "exit_code");
	if (!json_is_integer(code)) /* never a success by accident */
		return cx_refuse(err, CX_UNAVAILABLE, "how it ended is not known (%.40s)",
				 json_string_value(json_object_get(record, "reason")) != NULL
					 ? json_string_value(json_object_get(record, "reason"))
					 : "no reason");
	return (int)(json_integer_value(code) & 255);
}

int cx_cmd_attach(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	struct attach at = { .offset = a->offset > 0 ? (uint64_t)a->offset : 0 };
	char tail[256];

	if (check_id(a->words[1], err) < 0)
		return -err->errnum;
	while (!at.ended) {
		CX_AUTO(json_decrefp) json_t *page = NULL;

		if (cx_format(tail, sizeof tail,
			      "/exec/%s/output?stream=%s&offset=%llu&wait=%d&encoding=base64", err,
			      a->words[1], a->of_stderr ? "stderr" : "stdout",
			      (unsigned long long)at.offset, WAIT_S) < 0 ||
		    get(cli, tail, &page, err) < 0 || take_page(&at, page, err) < 0)
			return -err->errnum;
	}
	return status_of(cli, err);
}

/* ---- result ---------------------------------------------------------------------------------- */

static int list(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "EXEC", "exec_id", CX_CELL_TEXT },	{ "STATUS", "status", CX_CELL_TEXT },
		{ "REASON", "reason", CX_CELL_TEXT },	{ "CREATED", "created_at", CX_CELL_TEXT },
		{ "COMMAND", "command", CX_CELL_TEXT },
	};
	CX_AUTO(json_decrefp) json_t *all = NULL;

	if (get(cli, "/exec", &all, err) < 0)
		return -err->errnum;
	return cx_output_list(cli, json_object_get(all, "execs"), columns, CX_LEN(columns), err);
}

int cx_cmd_result(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	bool running = true;
	char tail[128];

	if (a->nwords == 1)
		return list(cli, err);
	if (check_id(a->words[1], err) < 0 || cx_format(tail, sizeof tail, "/exec/%s%s", err,
							a->words[1], a->wait ? "?wait=30" : "") < 0)
		return -err->errnum;
	while (running) {
		CX_AUTO(json_decrefp) json_t *record = NULL;
		const char *status;

		if (get(cli, tail, &record, err) < 0)
			return -err->errnum;
		status = json_string_value(json_object_get(record, "status"));
		running = a->wait && status != NULL && strcmp(status, "RUNNING") == 0;
		if (!running && cx_output_data(cli, record, err) < 0)
			return -err->errnum;
	}
	return 0;
}
