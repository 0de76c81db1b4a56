/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/accounts_store.h"
#include "api/handlers.h"
#include "api/identity.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "base/str.h"

enum { ANSWER_MAX = 16 << 20, NAME_MAX_BYTES = 63 };

static int write_member(const struct cx_member_row *member, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	cx_jsonw_text(arg, "userId", member->user_id);
	cx_jsonw_text(arg, "name", member->name);
	cx_jsonw_text(arg, "role", member->role);
	cx_jsonw_end(arg);
	return 0;
}

static void write_team(struct cx_jsonw *w, const struct cx_team_row *team)
{
	cx_jsonw_text(w, "id", team->id);
	cx_jsonw_text(w, "name", team->name);
	cx_jsonw_time(w, "createdAt", team->created_ms);
}

static void answer_team(struct cx_request *req, const struct cx_team_row *team)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	write_team(&w, team);
	cx_jsonw_array(&w, "members");
	if (cx_store_member_each(req->gateway->store, team->id, write_member, &w, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static int list_one(const struct cx_team_row *team, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	write_team(arg, team);
	cx_jsonw_text(arg, "role", team->role);
	cx_jsonw_end(arg);
	return 0;
}

static int list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	return cx_store_team_each(req->gateway->store, cx_access_viewer(req), list_one, w, err);
}

void cx_handle_team_list(struct cx_request *req)
{
	cx_request_answer_list(req, "teams", list);
}

/* The team of the path, if the caller may do this to it; else it does not exist. */
static int find_team(struct cx_request *req, bool owner, struct cx_team_row *ret,
		     struct cx_err *err)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };

	if (cx_store_team_find(req->gateway->store, req->param, &team, err) < 0)
		return -err->errnum;
	if (cx_access_team(req, team.id, false, err) < 0)
		return cx_refuse(err, CX_NOT_FOUND, "there is no team '%.128s'", req->param);
	if (owner && cx_access_team(req, team.id, true, err) < 0)
		return -err->errnum;
	*ret = team;
	team = (struct cx_team_row){ 0 };
	return 0;
}

void cx_handle_team_get(struct cx_request *req)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };
	struct cx_err err;

	if (find_team(req, false, &team, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_team(req, &team);
}

static int add_team(struct cx_request *req, struct cx_team_row *team, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *name = "";
	char id[17];

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "name", NAME_MAX_BYTES, &name, err) < 0)
		return -err->errnum;
	if (!cx_is_plain_name(name, NAME_MAX_BYTES))
		return cx_refuse(err, CX_INVALID,
				 "'name' must be 1 to %d letters, digits, '.', '_' or '-', and not "
				 "begin with '.' or '-'",
				 NAME_MAX_BYTES);
	cx_account_id(id);
	*team = (struct cx_team_row){ .id = strdup(id),
				      .name = strdup(name),
				      .created_ms = cx_wall_ms() };
	if (team->id == NULL || team->name == NULL)
		return cx_fail(err, ENOMEM, "team");
	cx_request_about(req, name);
	return cx_store_team_insert(req->gateway->store, team, err);
}

void cx_handle_team_add(struct cx_request *req)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };
	struct cx_err err;

	if (add_team(req, &team, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_team(req, &team);
}

void cx_handle_team_remove(struct cx_request *req)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };
	struct cx_err err;

	if (cx_store_team_find(req->gateway->store, req->param, &team, &err) < 0 ||
	    cx_store_team_remove(req->gateway->store, team.id, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_team(req, &team);
}

/* ---- members -------------------------------------------------------------------------------- */

/* Who is meant and as what. That a name is nobody's, only who may add somebody learns. */
static int change_member(struct cx_request *req, bool join, struct cx_team_row *team,
			 struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *name = "", *role = "member";

	if (find_team(req, true, team, err) < 0 ||
	    cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "user", 128, &name, err) < 0 ||
	    cx_json_text(doc, "role", 16, &role, err) < 0)
		return -err->errnum;
	if (strcmp(role, "member") != 0 && strcmp(role, "owner") != 0)
		return cx_refuse(err, CX_INVALID, "'role' must be owner or member");
	if (cx_store_user_find(req->gateway->store, name, &user, err) < 0)
		return -err->errnum;
	return join ? cx_store_member_put(req->gateway->store, team->id, user.id, role, err)
		    : cx_store_member_remove(req->gateway->store, team->id, user.id, err);
}

static void handle_member(struct cx_request *req, bool join)
{
	CX_AUTO(cx_team_row_clear) struct cx_team_row team = { 0 };
	struct cx_err err;

	if (change_member(req, join, &team, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_team(req, &team);
}

void cx_handle_team_join(struct cx_request *req)
{
	handle_member(req, true);
}

void cx_handle_team_leave(struct cx_request *req)
{
	handle_member(req, false);
}
