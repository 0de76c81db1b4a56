/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/jsonload.h"
#include "cli/commands.h"
#include "cli/lines.h"

enum { PATIENCE_MS = 24 * 3600 * 1000 }; /* nothing may happen for a day */

struct watch {
	struct cx_cli *cli;
	json_int_t seq; /* of the last event */
};

static const char *text_of(const json_t *event, const char *key)
{
	return json_string_value(json_object_get(event, key));
}

static const char *text_or_empty(const json_t *event, const char *key)
{
	const char *text = text_of(event, key);

	return text != NULL ? text : "";
}

static int print(const json_t *event, struct cx_err *err)
{
	static const char *const keys[] = { "time", "id", "name", "status", "errorMessage" };

	for (size_t i = 0; i < CX_LEN(keys); i++) {
		const char *text = text_of(event, keys[i]);

		if (text == NULL && i + 1 == CX_LEN(keys))
			continue;
		if (i > 0)
			(void)putchar(' ');
		cx_cli_print_word(text, stdout);
	}
	(void)putchar('\n');
	return fflush(stdout) == 0 ? 0 : cx_fail(err, errno, "write the output");
}

static int take_line(void *arg, const char *text, size_t len, struct cx_err *err)
{
	struct watch *watch = arg;
	CX_AUTO(json_decrefp) json_t *event = cx_json_load(text, len, 0, NULL);
	json_int_t seq = json_integer_value(json_object_get(event, "seq"));

	if (seq <= watch->seq && strcmp(text_or_empty(event, "status"), "error") == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "%s", text_or_empty(event, "detail"));
	if (seq <= watch->seq)
		return cx_refuse(err, CX_INTERNAL, "the server's answer is not a list of events");
	watch->seq = seq;
	return cx_cli_wants_events(watch->cli) ? cx_cli_print_event(event, err) : print(event, err);
}

int cx_cmd_events(struct cx_cli *cli, struct cx_err *err)
{
	struct watch watch = { .cli = cli };
	CX_AUTO(cx_lines_free) struct cx_lines lines = { .line = take_line, .arg = &watch };
	char path[96], after[40] = "";
	struct cx_call call = { .method = "GET",
				.path = path,
				.take = cx_lines_take,
				.take_arg = &lines,
				.timeout_ms = PATIENCE_MS };

	if (cli->args.after >= 0)
		(void)snprintf(after, sizeof after, "&after=%.0f", cli->args.after);
	(void)snprintf(path, sizeof path, "/api/v1/events?follow=%s%s",
		       cli->args.follow ? "true" : "false", after);
	if (cx_cli_call_raw(cli, &call, NULL, NULL, err) < 0)
		return -err->errnum;
	return cx_lines_end(&lines, err);
}
