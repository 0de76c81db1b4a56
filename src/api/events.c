/* SPDX-License-Identifier: Apache-2.0 */
#include "api/events.h"

#include <string.h>

#include "api/access.h"
#include "api/event_store.h"
#include "api/flow.h"
#include "api/handlers.h"
#include "api/jsonw.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

enum { EVENT_MAX = 64 * 1024, AT_ONCE = 8, SLOW_MS = 50 };
static_assert(AT_ONCE * (EVENT_MAX + 1) + (int)CX_FLOW_PASSING_MAX <= (int)CX_FLOW_QUEUE_MAX,
	      "no line is dropped");

struct cx_watcher {
	struct cx_gateway *gw;
	struct cx_flow *flow;
	struct cx_request *req; /* lives as long as its flow */
	int64_t seq;		/* the last one that he was told of, or may not see */
	int64_t living;		/* up to this one he is told of those that live only */
	bool follow;
	unsigned told; /* of one turn */
	struct cx_timer later;
	struct cx_watcher *next, **link;
};

static void write_event(struct cx_jsonw *w, const struct cx_event_row *row)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_int(w, "seq", row->seq);
	cx_jsonw_time(w, "time", row->time_ms);
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

static int tell(const struct cx_event_row *row, void *arg, struct cx_err *err)
{
	struct cx_watcher *watcher = arg;
	const struct cx_sandbox_row owned = { .id = row->id,
					      .team_id = row->team_id,
					      .user_id = row->user_id };
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = EVENT_MAX };
	struct cx_jsonw w = { .out = &json };

	watcher->told++;
	watcher->seq = row->seq;
	if (!cx_access_allows(watcher->req, &owned))
		return 0;
	write_event(&w, row);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	cx_flow_line(watcher->flow, json.p, json.len, false);
	return 0;
}

/* ---- watching ------------------------------------------------------------------------------- */

static void forget(struct cx_watcher *watcher)
{
	cx_timer_clear(&watcher->later);
	cx_list_remove(watcher);
	watcher->gw->nwatchers--;
	free(watcher);
}

static void on_gone(void *arg)
{
	struct cx_watcher *watcher = arg;

	cx_flow_end(watcher->flow);
	forget(watcher);
}

/* 1: there is more; 0: that was all so far. */
static int tell_some(struct cx_watcher *watcher, struct cx_err *err)
{
	const bool living = watcher->seq < watcher->living;
	const struct cx_event_range range = { .after = watcher->seq,
					      .last = living ? watcher->living : INT64_MAX,
					      .living = living,
					      .limit = AT_ONCE };

	watcher->told = 0;
	if (cx_store_event_each(watcher->gw->store, &range, tell, watcher, err) < 0)
		return -err->errnum;
	if (watcher->told == AT_ONCE)
		return 1;
	if (living)
		watcher->seq = watcher->living;
	return living && watcher->follow ? 1 : 0;
}

/* May free it. One who takes nothing is asked again a little later. */
static void go_on(struct cx_watcher *watcher)
{
	struct cx_err err;
	int r = 1;

	while (r > 0 && cx_flow_has_room(watcher->flow))
		r = tell_some(watcher, &err);
	if (r > 0) {
		cx_timer_set(watcher->gw->loop, &watcher->later, SLOW_MS);
	} else if (r < 0) {
		cx_flow_fail(watcher->flow, &err);
		forget(watcher);
	} else if (!watcher->follow) {
		cx_flow_end(watcher->flow);
		forget(watcher);
	}
}

static void on_later(struct cx_timer *timer)
{
	go_on(cx_container_of(timer, struct cx_watcher, later));
}

void cx_events_written(struct cx_gateway *gw)
{
	struct cx_watcher *next;

	for (struct cx_watcher *watcher = gw->watchers; watcher != NULL; watcher = next) {
		next = watcher->next;
		go_on(watcher);
	}
}

/* ---- the request ---------------------------------------------------------------------------- */

static int read_follow(struct cx_request *req, bool *ret, struct cx_err *err)
{
	const char *asked = cx_request_query(req, "follow");

	*ret = asked == NULL || strcmp(asked, "true") == 0;
	if (!*ret && strcmp(asked, "false") != 0)
		return cx_refuse(err, CX_INVALID, "'follow' must be true or false");
	return 0;
}

/* Where he goes on, or that he begins with what lives. */
static int read_start(struct cx_request *req, struct cx_watcher *watcher, struct cx_err *err)
{
	const char *asked = cx_request_query(req, "after");
	uint64_t after = 0;
	int64_t last = 0;

	if (cx_store_event_last(watcher->gw->store, &last, err) < 0)
		return -err->errnum;
	watcher->living = asked == NULL ? last : 0;
	if (asked == NULL)
		return 0;
	if (cx_parse_u64(asked, 0, INT64_MAX, "after", &after, err) < 0)
		return -err->errnum;
	watcher->seq = (int64_t)after;
	if (watcher->seq > last)
		return cx_refuse(err, CX_CONFLICT,
				 "there is no event %s, the last one is %lld: this is another "
				 "engine's number, begin without it",
				 asked, (long long)last);
	if (watcher->seq < last - CX_EVENTS_KEPT)
		return cx_refuse(err, CX_CONFLICT,
				 "not all events behind %s are kept, the newest %d are: begin "
				 "without it",
				 asked, CX_EVENTS_KEPT);
	return 0;
}

static int watch(struct cx_request *req, struct cx_err *err)
{
	struct cx_gateway *gw = req->gateway;
	cx_autofree struct cx_watcher *watcher = calloc(1, sizeof *watcher);

	if (watcher == NULL)
		return cx_fail(err, ENOMEM, "watcher");
	*watcher = (struct cx_watcher){ .gw = gw, .req = req, .later.fire = on_later };
	if (read_follow(req, &watcher->follow, err) < 0 || read_start(req, watcher, err) < 0)
		return -err->errnum;
	if (gw->nwatchers == CX_WATCHERS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d clients are watching already", CX_WATCHERS_MAX);
	if (cx_flow_lines(req, on_gone, watcher, &watcher->flow, err) < 0)
		return -err->errnum;
	cx_list_add(&gw->watchers, watcher);
	gw->nwatchers++;
	go_on(cx_take_ptr(&watcher));
	return 0;
}

void cx_handle_events(struct cx_request *req)
{
	struct cx_err err;

	if (watch(req, &err) < 0)
		cx_request_fail(req, &err);
}
