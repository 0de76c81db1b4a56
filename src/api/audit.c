/* SPDX-License-Identifier: Apache-2.0 */
#include "api/accounts_store.h"
#include "api/gateway.h"
#include "api/handlers.h"
#include "api/jsonw.h"
#include "base/str.h"

enum { LIMIT = 100, LIMIT_MAX = 10000 };

static int write_one(const struct cx_audit_row *row, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	cx_jsonw_int(arg, "id", row->row);
	cx_jsonw_time(arg, "time", row->at_ms);
	cx_jsonw_text(arg, "userId", row->user_id);
	cx_jsonw_text(arg, "keyId", row->key_id);
	cx_jsonw_text(arg, "action", row->action);
	cx_jsonw_text(arg, "object", row->object);
	cx_jsonw_int(arg, "outcome", row->outcome);
	cx_jsonw_text(arg, "requestId", row->request_id);
	cx_jsonw_end(arg);
	return 0;
}

static int list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	const char *name = cx_request_query(req, "user");
	uint64_t before = 0, limit = LIMIT;

	if (cx_request_query_u64(req, "before", 1, INT64_MAX, &before, err) < 0 ||
	    cx_request_query_u64(req, "limit", 1, LIMIT_MAX, &limit, err) < 0 ||
	    (name != NULL && cx_store_user_find(req->gateway->store, name, &user, err) < 0))
		return -err->errnum;
	return cx_store_audit_each(req->gateway->store, user.id, (int64_t)before, (int64_t)limit,
				   write_one, w, err);
}

void cx_handle_audit(struct cx_request *req)
{
	cx_request_answer_list(req, "audit", list);
}
