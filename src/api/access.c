/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"

#include <string.h>

void cx_named_clear(struct cx_named *named)
{
	cx_sandbox_row_clear(&named->ended);
	*named = (struct cx_named){ 0 };
}

bool cx_access_allows(const struct cx_caller *caller, const struct cx_sandbox_row *row)
{
	if (caller->sandbox[0] != '\0')
		return row->id != NULL && strcmp(caller->sandbox, row->id) == 0;
	return caller->admin;
}

int cx_access_named(struct cx_request *req, const char *id_or_name, struct cx_named *ret,
		    struct cx_err *err)
{
	struct cx_gateway *gw = req->gateway;

	*ret = (struct cx_named){ .box = cx_box_find(gw, id_or_name) };
	if (ret->box != NULL)
		ret->row = cx_box_row(ret->box);
	else if (cx_store_sandbox_find(gw->store, id_or_name, &ret->ended, err) < 0)
		return -err->errnum;
	else
		ret->row = &ret->ended;
	if (cx_access_allows(&req->caller, ret->row))
		return 0;
	cx_named_clear(ret);
	return cx_refuse(err, CX_NOT_FOUND, "no sandbox has the id or name '%.128s'", id_or_name);
}

int cx_access_session(struct cx_request *req, const char *id_or_name, struct cx_session **ret,
		      struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_access_named(req, id_or_name, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				 named.row->status);
	*ret = cx_box_session(named.box, err);
	return *ret != NULL ? 0 : -err->errnum;
}
