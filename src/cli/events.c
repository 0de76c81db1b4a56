/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/events.h"

#include <string.h>

#include "base/fd.h"
#include "base/jsonload.h"
#include "base/loop.h"
#include "cli/lines.h"
#include "cli/progress.h"
#include "cli/term.h"

enum { PATIENCE_MS = 3600 * 1000, FRAME_MAX = 1 << 20 };

struct watch {
	struct cx_cli *cli;
	struct cx_lines lines;
	struct cx_progress progress;
	struct cx_buf out; /* of the progress, for standard error */
	json_t *last;
};

static void watch_free(struct watch *w)
{
	cx_lines_free(&w->lines);
	cx_buf_free(&w->out);
	json_decref(w->last);
}

static int show(struct watch *w, struct cx_err *err)
{
	int r = cx_write_all(STDERR_FILENO, w->out.p, w->out.len, err);

	w->out.len = 0;
	return r;
}

static int show_event(struct watch *w, json_t *event, struct cx_err *err)
{
	struct cx_progress *p = &w->progress;
	uint16_t rows, cols;

	if (cx_cli_wants_events(w->cli) && cx_cli_print_event(event, err) < 0)
		return -err->errnum;
	if (w->last != NULL)
		return 0; /* how it ended is for the command to say */
	cx_term_size(STDERR_FILENO, &rows, &cols);
	p->rows = rows;
	p->cols = cols;
	if (cx_progress_event(p, event, cx_now_ms(), &w->out, err) < 0)
		return -err->errnum;
	return show(w, err);
}

static int take_line(void *arg, const char *text, size_t len, struct cx_err *err)
{
	struct watch *w = arg;
	CX_AUTO(json_decrefp) json_t *event = cx_json_load(text, len, 0, NULL);
	const char *status = json_string_value(json_object_get(event, "status"));

	if (status == NULL || w->last != NULL)
		return cx_refuse(err, CX_INTERNAL, "the server's answer is not a list of events");
	if (strcmp(status, "done") == 0 || strcmp(status, "error") == 0)
		w->last = json_incref(event);
	return show_event(w, event, err);
}

static enum cx_progress_style style_of(const struct cx_cli *cli)
{
	if (cli->args.quiet || cx_cli_wants_events(cli))
		return CX_PROGRESS_NONE;
	return cx_progress_style_of(STDERR_FILENO);
}

/* Also after a failure: how far it came, and the cursor below it. */
static void show_end(struct watch *w)
{
	struct cx_err ignored;

	if (cx_progress_end(&w->progress, cx_now_ms(), &w->out, &ignored) == 0)
		(void)!show(w, &ignored);
}

int cx_events_call(struct cx_cli *cli, const char *path, json_t *body, json_t **ret_done,
		   struct cx_err *err)
{
	CX_AUTO(watch_free)
	struct watch w = { .cli = cli,
			   .lines = { .line = take_line, .arg = &w },
			   .progress.style = style_of(cli),
			   .out.max = FRAME_MAX };
	struct cx_call call = { .method = "POST",
				.path = path,
				.take = cx_lines_take,
				.take_arg = &w.lines,
				.timeout_ms = PATIENCE_MS };
	int r;

	r = cx_cli_call_raw(cli, &call, body, NULL, err);
	show_end(&w);
	if (r < 0 || cx_lines_end(&w.lines, err) < 0)
		return -err->errnum;
	if (w.last == NULL)
		return cx_refuse(err, CX_UNAVAILABLE, "the server did not say how it ended");
	if (strcmp(json_string_value(json_object_get(w.last, "status")), "error") == 0)
		return cx_cli_error_of(w.last, 0, err);
	*ret_done = cx_take_ptr(&w.last);
	return 0;
}
