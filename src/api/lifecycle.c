/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"
#include "api/handlers.h"
#include "api/present.h"
#include "api/spec.h"

enum { ANSWER_MAX = 1 << 20 };

struct change { /* a request that waits for a change of its sandbox */
	struct cx_box_waiter waiter;
	struct cx_request *req;
};

static void answer_row(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_present_sandbox(&w, req->gateway, row, cx_request_agent(req));
	cx_request_answer_json(req, &w);
}

static void on_done(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		    const struct cx_err *err)
{
	struct change *change = cx_container_of(waiter, struct change, waiter);

	if (err == NULL)
		answer_row(change->req, row);
	else
		cx_request_fail(change->req, err);
	free(change);
}

static struct change *new_change(struct cx_request *req, struct cx_err *err)
{
	struct change *change = calloc(1, sizeof *change);

	if (change == NULL) {
		(void)cx_fail(err, ENOMEM, "request");
		return NULL;
	}
	*change = (struct change){ .waiter = { .done = on_done }, .req = req };
	return change;
}

static int start(struct cx_request *req,
		 int (*ask)(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err),
		 struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct change *change;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				 named.row->status);
	change = new_change(req, err);
	if (change == NULL || ask(named.box, &change->waiter, err) == 0)
		return change != NULL ? 0 : -err->errnum;
	free(change);
	return -err->errnum;
}

void cx_handle_pause(struct cx_request *req)
{
	struct cx_err err;

	if (start(req, cx_box_pause, &err) < 0)
		cx_request_fail(req, &err);
}

void cx_handle_resume(struct cx_request *req)
{
	struct cx_err err;

	if (start(req, cx_box_resume, &err) < 0)
		cx_request_fail(req, &err);
}

static int renew(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_sandbox_row times = { 0 };

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				 named.row->status);
	times.timeout_minutes = named.row->timeout_minutes;
	times.idle_timeout_minutes = named.row->idle_timeout_minutes;
	if (cx_spec_parse_times(req->body.p, req->body.len, &times, err) < 0 ||
	    cx_box_renew(named.box, times.timeout_minutes, times.idle_timeout_minutes, err) < 0)
		return -err->errnum;
	answer_row(req, cx_box_row(named.box));
	return 0;
}

void cx_handle_renew(struct cx_request *req)
{
	struct cx_err err;

	if (renew(req, &err) < 0)
		cx_request_fail(req, &err);
}

/* What has ended is as was asked for. */
void cx_handle_stop(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct change *change = NULL;
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) == 0 && named.box == NULL) {
		answer_row(req, named.row);
		return;
	}
	if (named.box != NULL)
		change = new_change(req, &err);
	if (change == NULL)
		cx_request_fail(req, &err);
	else
		cx_box_destroy(named.box, &change->waiter);
}
