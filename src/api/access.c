/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"

#include <string.h>

#include "api/accounts_store.h"
#include "base/log.h"

void cx_named_clear(struct cx_named *named)
{
	cx_sandbox_row_clear(&named->ended);
	*named = (struct cx_named){ 0 };
}

/* Of the team's owner and of others; CX_MEMBER_NONE also when nobody can say. */
static enum cx_membership membership(struct cx_request *req, const char *team_id)
{
	struct cx_err err = { 0 };
	int role = cx_store_membership(req->gateway->store, team_id, req->caller.user, &err);

	if (role >= 0)
		return (enum cx_membership)role;
	cx_log_err(CX_LOG_ERROR, &err, "no access", NULL);
	return CX_MEMBER_NONE;
}

bool cx_access_allows(struct cx_request *req, const struct cx_sandbox_row *row)
{
	const struct cx_caller *caller = &req->caller;

	if (caller->sandbox[0] != '\0')
		return row->id != NULL && strcmp(caller->sandbox, row->id) == 0;
	if (caller->admin)
		return true;
	if (caller->user[0] == '\0')
		return false;
	return (row->user_id != NULL && strcmp(caller->user, row->user_id) == 0) ||
	       (row->team_id != NULL && membership(req, row->team_id) != CX_MEMBER_NONE);
}

const char *cx_access_viewer(const struct cx_request *req)
{
	return req->caller.admin ? NULL : req->caller.user;
}

int cx_access_team(struct cx_request *req, const char *team_id, bool owner, struct cx_err *err)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };
	enum cx_membership role = membership(req, team_id);

	if (req->caller.admin &&
	    cx_store_team_find(req->gateway->store, team_id, &team, err) == 0 &&
	    strcmp(team.id, team_id) == 0)
		return 0;
	if (role == CX_MEMBER_OWNER || (role == CX_MEMBER && !owner))
		return 0;
	return cx_refuse(err, CX_DENIED,
			 role == CX_MEMBER ? "only an owner of the team '%.128s' may do this"
					   : "you are in no team with the id '%.128s'",
			 team_id);
}

int cx_access_own(struct cx_request *req, struct cx_sandbox_row *row, struct cx_err *err)
{
	if (row->team_id != NULL && row->team_id[0] == '\0')
		cx_freep(&row->team_id);
	if (row->team_id != NULL && cx_access_team(req, row->team_id, false, err) < 0)
		return -err->errnum;
	free(row->user_id);
	row->user_id = strdup(req->caller.user);
	return row->user_id != NULL ? 0 : cx_fail(err, ENOMEM, "a sandbox's owner");
}

static int refuse_unknown(const char *id_or_name, struct cx_err *err)
{
	return cx_refuse(err, CX_NOT_FOUND, "no sandbox has the id or name '%.128s'", id_or_name);
}

static int find_name(struct cx_request *req, const char *name, struct cx_sandbox_row *ret,
		     struct cx_err *err)
{
	if (req->caller.sandbox[0] != '\0') /* a token has an id */
		return 0;
	return cx_store_sandbox_by_name(req->gateway->store, cx_access_viewer(req), name, ret, err);
}

/* 1: in *named; 0: nothing that this caller may see. */
static int find_ended(struct cx_request *req, const char *id_or_name, struct cx_named *named,
		      struct cx_err *err)
{
	int found = cx_store_sandbox_by_id(req->gateway->store, id_or_name, &named->ended, err);

	if (found == 1 && cx_access_allows(req, &named->ended))
		return 1;
	cx_sandbox_row_clear(&named->ended);
	return found < 0 ? found : find_name(req, id_or_name, &named->ended, err);
}

int cx_access_named(struct cx_request *req, const char *id_or_name, struct cx_named *ret,
		    struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_box *box = cx_box_find(req->gateway, id_or_name);
	int found = 1;

	if (box == NULL || !cx_access_allows(req, cx_box_row(box))) {
		found = find_ended(req, id_or_name, &named, err);
		box = found == 1 ? cx_box_find(req->gateway, named.ended.id) : NULL;
	}
	if (found <= 0)
		return found < 0 ? found : refuse_unknown(id_or_name, err);
	*ret = (struct cx_named){ .box = box };
	if (box != NULL) {
		ret->row = cx_box_row(box);
		return 0;
	}
	ret->ended = named.ended;
	ret->row = &ret->ended;
	named = (struct cx_named){ 0 };
	return 0;
}

struct cx_session *cx_named_session(const struct cx_named *named, struct cx_err *err)
{
	if (named->box != NULL)
		return cx_box_session(named->box, err);
	(void)cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
			named->row->status);
	return NULL;
}

int cx_access_session(struct cx_request *req, const char *id_or_name, struct cx_session **ret,
		      struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_access_named(req, id_or_name, &named, err) < 0)
		return -err->errnum;
	*ret = cx_named_session(&named, err);
	return *ret != NULL ? 0 : -err->errnum;
}
