/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/handlers.h"
#include "api/jsonw.h"

enum { LOG_ANSWER = 1 << 20 };

struct logs {
	struct cx_call call;
	struct cx_box_waiter waiter;
	struct cx_request *req;
	struct cx_session *session;
	struct cx_buf text;
};

static void answer_log(struct cx_request *req, const char *p, size_t len)
{
	struct cx_buf json = { .max = 8 * LOG_ANSWER };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_bytes(&w, "logs", p, len);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static void free_logs(struct logs *logs)
{
	cx_buf_free(&logs->text);
	free(logs);
}

static void on_log(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct logs *logs = cx_container_of(call, struct logs, call);
	struct cx_err failed;

	if (err == NULL && answer->log.data.len > 0 && logs->text.len < LOG_ANSWER) {
		uint64_t next = answer->log.offset + answer->log.data.len;

		if (cx_buf_add(&logs->text, answer->log.data.p, answer->log.data.len, &failed) ==
			    0 &&
		    cx_session_log(logs->session, next, 65536, call, &failed) == 0)
			return;
		err = &failed;
	}
	if (err == NULL)
		answer_log(logs->req, logs->text.p, logs->text.len);
	else if (err->kind == CX_CONFLICT) /* it has just ended: then there is a record */
		cx_handle_logs(logs->req);
	else
		cx_request_fail(logs->req, err);
	free_logs(logs);
}

static void answer_recorded(struct cx_request *req, const struct cx_sandbox_row *row)
{
	answer_log(req, row->log, row->log != NULL ? strlen(row->log) : 0);
}

static void on_log_recorded(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
			    const struct cx_err *err)
{
	struct logs *logs = cx_container_of(waiter, struct logs, waiter);

	if (err != NULL)
		cx_request_fail(logs->req, err);
	else
		answer_recorded(logs->req, row);
	free_logs(logs);
}

static int start_logs(struct cx_request *req, struct cx_box *box, struct cx_err *err)
{
	struct logs *logs = calloc(1, sizeof *logs);

	if (logs == NULL)
		return cx_fail(err, ENOMEM, "request");
	logs->req = req;
	logs->call.done = on_log;
	logs->text.max = LOG_ANSWER + 65536;
	logs->waiter.done = on_log_recorded;
	if (cx_box_wait_gone(box, &logs->waiter)) /* its log is being recorded */
		return 0;
	logs->session = cx_box_agent(box, err);
	if (logs->session == NULL ||
	    cx_session_log(logs->session, 0, 65536, &logs->call, err) < 0) {
		free_logs(logs);
		return -err->errnum;
	}
	return 0;
}

void cx_handle_logs(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0 ||
	    (named.box != NULL && start_logs(req, named.box, &err) < 0))
		cx_request_fail(req, &err);
	else if (named.box == NULL)
		answer_recorded(req, named.row);
}
