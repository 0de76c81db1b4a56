/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/access.h"
#include "api/flow.h"
#include "api/handlers.h"
#include "api/jsonw.h"

/* How an owner says that he is still there: by a request now and then, or by a connection. */
enum { BEAT_MS = 2000, SILENT_MS = 10000, ANSWER_MAX = 1024 };

struct holder {
	struct cx_gateway *gw;
	struct cx_box *box;
	struct cx_box_watch watch;
	struct cx_flow *flow;
	struct cx_timer beat; /* a connection that is dead is seen when something is sent */
};

static void write_lease(struct cx_jsonw *w, const struct cx_sandbox_row *row)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "id", row->id);
	cx_jsonw_text(w, "status", row->status);
	cx_jsonw_int(w, "heartbeat_seconds", row->lease_s);
	cx_jsonw_end(w);
}

/* A box with a lease, which lives; NULL with *err. */
static struct cx_box *find(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_access_named(req, req->param, &named, err) < 0)
		return NULL;
	if (named.box == NULL)
		(void)cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				named.row->status);
	else if (cx_box_lease(named.box, err) == 0)
		return named.box;
	return NULL;
}

void cx_handle_lease_renew(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;
	struct cx_box *box = find(req, &err);

	if (box == NULL) {
		cx_request_fail(req, &err);
		return;
	}
	cx_box_renew_lease(box);
	write_lease(&w, cx_box_row(box));
	cx_request_answer_json(req, &w);
}

/* ---- holding --------------------------------------------------------------------------------- */

static void say(struct holder *holder, const struct cx_sandbox_row *row, bool last)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	write_lease(&w, row);
	if (cx_jsonw_finish(&w, &err) < 0) /* it holds no text of a client's: it fits */
		return;
	if (last)
		cx_flow_last(holder->flow, json.p, json.len);
	else
		cx_flow_line(holder->flow, json.p, json.len, true);
}

static void on_beat(struct cx_timer *timer)
{
	struct holder *holder = cx_container_of(timer, struct holder, beat);

	say(holder, cx_box_row(holder->box), false);
	cx_timer_set(holder->gw->loop, timer, BEAT_MS);
}

static void on_ended(struct cx_box_watch *watch, const struct cx_sandbox_row *row)
{
	struct holder *holder = cx_container_of(watch, struct holder, watch);

	cx_timer_clear(&holder->beat);
	say(holder, row, true);
	free(holder);
}

static void on_gone(void *arg)
{
	struct holder *holder = arg;

	cx_timer_clear(&holder->beat);
	cx_box_unwatch(&holder->watch);
	cx_flow_end(holder->flow);
	cx_box_let_go(holder->box);
	free(holder);
}

static int hold(struct cx_request *req, struct cx_err *err)
{
	cx_autofree struct holder *holder = calloc(1, sizeof *holder);
	struct cx_box *box = find(req, err);

	if (box == NULL)
		return -err->errnum;
	if (holder == NULL)
		return cx_fail(err, ENOMEM, "request");
	*holder = (struct holder){ .gw = req->gateway,
				   .box = box,
				   .watch = { .ended = on_ended },
				   .beat = { .fire = on_beat } };
	if (cx_flow_lines(req, on_gone, holder, &holder->flow, err) < 0)
		return -err->errnum;
	cx_request_bound_silence(req, SILENT_MS);
	cx_box_watch(box, &holder->watch);
	cx_box_hold(box);
	on_beat(&holder->beat);
	(void)cx_take_ptr(&holder);
	return 0;
}

void cx_handle_lease_hold(struct cx_request *req)
{
	struct cx_err err;

	if (hold(req, &err) < 0)
		cx_request_fail(req, &err);
}
