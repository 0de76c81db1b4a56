/* SPDX-License-Identifier: Apache-2.0 */
#include "api/events.h"

#include <string.h>

#include "api/access.h"
#include "api/flow.h"
#include "api/handlers.h"
#include "api/jsonw.h"
#include "base/log.h"

enum { EVENT_MAX = 64 * 1024 };

struct cx_watcher {
	struct cx_gateway *gw;
	struct cx_flow *flow;
	struct cx_request *req; /* lives as long as its flow */
	int64_t seq;
	struct cx_watcher *next, **link;
};

static void write_event(struct cx_jsonw *w, const struct cx_sandbox_row *row, int64_t seq)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_int(w, "seq", seq);
	cx_jsonw_time(w, "time", row->updated_ms);
	cx_jsonw_text(w, "id", row->id);
	cx_jsonw_text(w, "name", row->name);
	cx_jsonw_text(w, "status", row->status);
	cx_jsonw_text(w, "image", row->image);
	cx_jsonw_text(w, "errorType", row->error_type);
	cx_jsonw_text(w, "errorMessage", row->error_message);
	if (row->oom_report != NULL)
		cx_jsonw_raw(w, "outOfMemory", row->oom_report);
	if (row->exit_code >= 0)
		cx_jsonw_int(w, "exitCode", row->exit_code);
	cx_jsonw_end(w);
}

static void tell(struct cx_watcher *watcher, const struct cx_sandbox_row *row)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = EVENT_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (!cx_access_allows(watcher->req, row))
		return;
	write_event(&w, row, ++watcher->seq);
	if (cx_jsonw_finish(&w, &err) == 0)
		cx_flow_line(watcher->flow, json.p, json.len, false);
}

void cx_events_sandbox(struct cx_gateway *gw, const struct cx_sandbox_row *row)
{
	if (row->id == NULL)
		return;
	for (struct cx_watcher *watcher = gw->watchers; watcher != NULL; watcher = watcher->next)
		tell(watcher, row);
}

/* ---- watching ------------------------------------------------------------------------------- */

/* Also of one who wants the present only. */
static void on_gone(void *arg)
{
	struct cx_watcher *watcher = arg;

	*watcher->link = watcher->next;
	if (watcher->next != NULL)
		watcher->next->link = watcher->link;
	watcher->gw->nwatchers--;
	cx_flow_end(watcher->flow);
	free(watcher);
}

static int tell_row(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	(void)err;
	tell(arg, row);
	return 0;
}

static int watch(struct cx_request *req, struct cx_err *err)
{
	static const struct cx_sandbox_filter living = { .live_only = true };
	struct cx_gateway *gw = req->gateway;
	cx_autofree struct cx_watcher *watcher = calloc(1, sizeof *watcher);
	const char *asked = cx_request_query(req, "follow");
	bool follow = asked == NULL || strcmp(asked, "true") == 0;

	if (!follow && strcmp(asked, "false") != 0)
		return cx_refuse(err, CX_INVALID, "'follow' must be true or false");
	if (watcher == NULL)
		return cx_fail(err, ENOMEM, "watcher");
	if (gw->nwatchers == CX_WATCHERS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d clients are watching already", CX_WATCHERS_MAX);
	watcher->gw = gw;
	watcher->req = req;
	if (cx_flow_lines(req, on_gone, watcher, &watcher->flow, err) < 0)
		return -err->errnum;
	watcher->next = gw->watchers;
	watcher->link = &gw->watchers;
	if (watcher->next != NULL)
		watcher->next->link = &watcher->next;
	gw->watchers = watcher;
	gw->nwatchers++;
	if (cx_store_sandbox_each(gw->store, &living, tell_row, watcher, err) < 0)
		cx_log_err(CX_LOG_ERROR, err, "events are incomplete", NULL);
	if (!follow)
		on_gone(watcher);
	(void)cx_take_ptr(&watcher);
	return 0;
}

void cx_handle_events(struct cx_request *req)
{
	struct cx_err err;

	if (watch(req, &err) < 0)
		cx_request_fail(req, &err);
}
