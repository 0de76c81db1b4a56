/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/detached.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "api/json.h"

enum {
	ANSWER_MAX = 2 * 6 * (CX_EXCERPT_HEAD + CX_EXCERPT_TAIL) + 65536,
	LIST_MAX = 4 << 20,
};

/* Who waits for the start or the end of a command; freed when it is answered. */
struct wait {
	struct cx_detached_waiter waiter;
	struct cx_request *req;
	struct cx_detached *one;
	struct cx_timer timer;
	bool flat; /* as the answer to a command, not as a record */
};

/* ---- answers --------------------------------------------------------------------------------- */

static int write_record(const struct cx_exec_row *row, struct cx_buf *json, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf result = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = json };

	if (row->ended_ms > 0 &&
	    (cx_exec_row_answer(row, &result, err) < 0 || cx_buf_add(&result, "", 1, err) < 0))
		return -err->errnum;
	cx_jsonw_object(&w, NULL);
	cx_exec_row_write(&w, row);
	if (row->ended_ms > 0)
		cx_jsonw_raw(&w, "result", result.p);
	else
		cx_jsonw_null(&w, "result");
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

static void answer(struct cx_request *req, const struct cx_exec_row *row, bool flat)
{
	struct cx_buf json = { .max = ANSWER_MAX + 4096 };
	struct cx_err err;
	int r = flat ? cx_exec_row_answer(row, &json, &err) : write_record(row, &json, &err);

	if (r == 0) {
		cx_request_answer(req, 200, &json);
		return;
	}
	cx_buf_free(&json);
	cx_request_fail(req, &err);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static struct cx_request *end_wait(struct wait *wait)
{
	struct cx_request *req = wait->req;

	cx_timer_clear(&wait->timer);
	cx_detached_unwait(&wait->waiter);
	req->gone = NULL;
	req->owner = NULL;
	free(wait);
	return req;
}

static void on_done(struct cx_detached_waiter *waiter, const struct cx_exec_row *row,
		    const struct cx_err *err)
{
	struct wait *wait = cx_container_of(waiter, struct wait, waiter);
	bool flat = wait->flat;
	struct cx_request *req = end_wait(wait);

	if (err == NULL)
		answer(req, row, flat);
	else
		cx_request_fail_as(req, cx_command_status(err), err);
}

static void waited_enough(struct cx_timer *timer)
{
	struct wait *wait = cx_container_of(timer, struct wait, timer);
	const struct cx_exec_row *row = cx_detached_row(wait->one);

	answer(end_wait(wait), row, false);
}

/* The command goes on. */
static void on_gone(struct cx_request *req)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the client has gone");
	cx_request_fail(end_wait(req->owner), &err);
}

static struct wait *new_wait(struct cx_request *req, bool for_end, bool flat, struct cx_err *err)
{
	struct wait *wait = calloc(1, sizeof *wait);

	if (wait == NULL) {
		(void)cx_fail(err, ENOMEM, "request");
		return NULL;
	}
	wait->req = req;
	wait->flat = flat;
	wait->waiter.done = on_done;
	wait->waiter.for_end = for_end;
	wait->timer.fire = waited_enough;
	req->owner = wait;
	req->gone = on_gone;
	return wait;
}

/* For the end, so many seconds at most (0: as long as it takes), or for the start. */
static int wait_for(struct cx_request *req, struct cx_detached *one, bool for_end, bool flat,
		    uint64_t seconds, struct cx_err *err)
{
	struct wait *wait = new_wait(req, for_end, flat, err);

	if (wait == NULL)
		return -err->errnum;
	if (seconds > 0)
		cx_timer_set(req->gateway->loop, &wait->timer, seconds * 1000);
	wait->one = one;
	cx_detached_wait(one, &wait->waiter);
	return 0;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The client asks again for what it has asked for before. */
static int repeat(struct cx_request *req, const struct cx_exec_row *row, struct cx_detached *one,
		  const struct cx_exec_spec *spec, struct cx_err *err)
{
	if (cx_exec_row_compare(one != NULL ? cx_detached_row(one) : row, spec, err) < 0)
		return -err->errnum;
	if (one != NULL)
		return wait_for(req, one, !spec->detach, !spec->detach, 0, err);
	answer(req, row, !spec->detach);
	return 0;
}

int cx_exec_start_detached(struct cx_request *req, const struct cx_named *named,
			   const struct cx_exec_spec *spec, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_detached *one = NULL;
	struct wait *wait;

	if (spec->output_bytes > 0)
		return cx_refuse(err, CX_INVALID,
				 "'output_bytes' does not go together with 'id' and 'detach': of "
				 "such a command only so much is kept anyway");
	if (spec->output_file != NULL && spec->output_file[0] != '\0')
		return cx_refuse(
			err, CX_INVALID,
			"'output_file' does not go together with 'id' and 'detach': nobody "
			"is there to write it; let the command do so");
	if (spec->id[0] != '\0' &&
	    cx_detached_find(req->gateway, named->row->id, spec->id, &row, &one, err) >= 0)
		return repeat(req, &row, one, spec, err);
	if (spec->id[0] != '\0' && err->kind != CX_NOT_FOUND)
		return -err->errnum;
	if (cx_named_session(named, err) == NULL)
		return -err->errnum;
	wait = new_wait(req, !spec->detach, !spec->detach, err);
	if (wait == NULL)
		return -err->errnum;
	if (cx_detached_start(req->gateway, named->box, spec, &wait->waiter, err) == 0)
		return 0;
	(void)end_wait(wait);
	return -err->errnum;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int write_one(const struct cx_exec_row *row, void *arg, struct cx_err *err)
{
	struct cx_jsonw *w = arg;

	cx_jsonw_object(w, NULL);
	cx_exec_row_write(w, row);
	cx_jsonw_end(w);
	*err = w->err;
	return -w->err.errnum;
}

static int write_list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	return cx_store_exec_each(req->gateway->store, named.row->id, false, write_one, w, err);
}

void cx_handle_exec_list(struct cx_request *req)
{
	cx_request_answer_list(req, "execs", write_list);
}

/* ---- one ------------------------------------------------------------------------------------- */

static int find(struct cx_request *req, struct cx_exec_row *row, struct cx_detached **ret_one,
		struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	return cx_detached_find(req->gateway, named.row->id, cx_request_second(req), row, ret_one,
				err);
}

static int get(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_detached *one;
	uint64_t seconds = 0;

	if (cx_request_query_u64(req, "wait", 0, CX_EXEC_WAIT_MAX, &seconds, err) < 0 ||
	    find(req, &row, &one, err) < 0)
		return -err->errnum;
	if (one == NULL) {
		answer(req, &row, false);
		return 0;
	}
	if (seconds > 0)
		return wait_for(req, one, true, false, seconds, err);
	answer(req, cx_detached_row(one), false);
	return 0;
}

void cx_handle_exec_get(struct cx_request *req)
{
	struct cx_err err;

	if (get(req, &err) < 0)
		cx_request_fail(req, &err);
}

/* ---- a signal -------------------------------------------------------------------------------- */

static int send(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_detached *one;
	int64_t signo = 15;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_int(doc, "signal", 1, 64, &signo, err) < 0 || find(req, &row, &one, err) < 0)
		return -err->errnum;
	if (one != NULL && cx_detached_signal(one, (uint32_t)signo, err) < 0)
		return -err->errnum;
	answer(req, one != NULL ? cx_detached_row(one) : &row, false);
	return 0;
}

void cx_handle_exec_signal(struct cx_request *req)
{
	struct cx_err err;

	if (send(req, &err) < 0)
		cx_request_fail(req, &err);
}
