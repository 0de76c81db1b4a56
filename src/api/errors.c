/* SPDX-License-Identifier: Apache-2.0 */
#include "api/errors.h"

#include <stdio.h>

#include "api/jsonw.h"
#include "base/log.h"

/* No kind is a 502: those make clients repeat a request that has happened. 429 makes them sleep. */
const struct cx_error_row cx_error_rows[CX_KIND_MAX] = {
	{ CX_INTERNAL, 500, "a fault of ours or of the host, never of the request" },
	{ CX_INVALID, 400, "the request can never succeed as it stands" },
	{ CX_DENIED, 403, "understood and refused" },
	{ CX_NOT_FOUND, 404, "nothing has this name" },
	{ CX_CONFLICT, 409, "the name is taken, or the object's state does not allow it" },
	{ CX_LIMIT, 507, "a finite resource of the host is used up; repeating at once is no use" },
	{ CX_TIMEOUT, 504, "something inside did not answer in time" },
	{ CX_UNAVAILABLE, 503, "not now; the same request may succeed in a moment" },
	{ CX_BUSY, 429,
	  "the caller, or the host, has as much as may be at a time; clients sleep, then repeat" },
	{ CX_SPENT, 402, "the caller has used up what it was given" },
};

unsigned cx_error_status(unsigned kind)
{
	return cx_error_rows[kind < CX_KIND_MAX ? kind : CX_INTERNAL].status;
}

const char *cx_error_text(const struct cx_err *err, const char *request_id,
			  char ret[CX_ERROR_TEXT_MAX])
{
	if (err->kind != CX_INTERNAL || err->refused)
		return cx_err_render(err, ret, CX_ERROR_TEXT_MAX);
	cx_log_err(CX_LOG_ERROR, err, "request failed", "request_id", request_id, NULL);
	(void)snprintf(ret, CX_ERROR_TEXT_MAX,
		       "an error on the host; its log says more about request %s", request_id);
	return ret;
}

void cx_error_write(struct cx_jsonw *w, const struct cx_err *err, const char *request_id)
{
	char text[CX_ERROR_TEXT_MAX];

	cx_jsonw_text(w, "detail", cx_error_text(err, request_id, text));
	cx_jsonw_text(w, "code", cx_kind_name(err->kind));
	cx_jsonw_text(w, "request_id", request_id);
}

int cx_error_body(const struct cx_err *err, const char *request_id, struct cx_buf *ret,
		  struct cx_err *failed)
{
	struct cx_jsonw w = { .out = ret };

	cx_jsonw_object(&w, NULL);
	cx_error_write(&w, err, request_id);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, failed);
}
