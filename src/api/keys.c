/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/access.h"
#include "api/accounts_store.h"
#include "api/handlers.h"
#include "api/identity.h"
#include "api/json.h"
#include "api/jsonw.h"

enum { KEY_NAME_MAX = 128 };

static const int64_t seconds_max = (int64_t)100 * 366 * 86400;

static void write_key(struct cx_jsonw *w, const struct cx_key_row *key)
{
	cx_jsonw_text(w, "id", key->id);
	cx_jsonw_text(w, "userId", key->user_id);
	cx_jsonw_text(w, "name", key->name);
	cx_jsonw_text(w, "prefix", key->prefix);
	cx_jsonw_time(w, "createdAt", key->created_ms);
	cx_jsonw_time(w, "expiresAt", key->expires_ms);
	cx_jsonw_time(w, "revokedAt", key->revoked_ms);
	cx_jsonw_time(w, "lastUsedAt", key->used_ms);
}

/* The only answer that holds a key itself. */
static void answer_key(struct cx_request *req, const struct cx_key_row *key, const char *text)
{
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	write_key(&w, key);
	if (text != NULL)
		cx_jsonw_text(&w, "key", text);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static int list_one(const struct cx_key_row *key, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	write_key(arg, key);
	cx_jsonw_end(arg);
	return 0;
}

/* Whose keys are meant: an admin may name somebody, others mean themselves. */
static int find_user(struct cx_request *req, const char *name, struct cx_user_row *ret,
		     struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	int found = cx_store_user_find(req->gateway->store, name != NULL ? name : req->caller.user,
				       &user, err);

	if (found == 0 && !req->caller.admin && strcmp(user.id, req->caller.user) != 0)
		return cx_refuse(err, CX_NOT_FOUND, "there is no user '%.128s'", name);
	if (found < 0)
		return found;
	*ret = user;
	user = (struct cx_user_row){ 0 };
	return 0;
}

static int list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	const char *name = cx_request_query(req, "user");

	if ((name != NULL || !req->caller.admin) && find_user(req, name, &user, err) < 0)
		return -err->errnum;
	return cx_store_key_each(req->gateway->store, user.id, list_one, w, err);
}

void cx_handle_key_list(struct cx_request *req)
{
	cx_request_answer_list(req, "keys", list);
}

/* A key cannot outlive itself by making another one. */
static int bound_expiry(struct cx_request *req, int64_t *expires_ms, struct cx_err *err)
{
	CX_AUTO(cx_key_row_clear) struct cx_key_row own = { 0 };

	if (req->caller.key[0] == '\0')
		return 0;
	if (cx_store_key_by_id(req->gateway->store, req->caller.key, &own, err) < 0)
		return -err->errnum;
	if (own.expires_ms != 0 && (*expires_ms == 0 || *expires_ms > own.expires_ms))
		*expires_ms = own.expires_ms;
	return 0;
}

static int parse_key(struct cx_request *req, struct cx_key_row *key, struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *owner = NULL, *name = NULL;
	int64_t seconds = 0;
	char id[17];

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "user", 128, &owner, err) < 0 ||
	    cx_json_text(doc, "name", KEY_NAME_MAX, &name, err) < 0 ||
	    cx_json_int(doc, "expires_s", 1, seconds_max, &seconds, err) < 0 ||
	    find_user(req, owner, &user, err) < 0)
		return -err->errnum;
	cx_account_id(id);
	key->id = strdup(id);
	key->user_id = cx_take_ptr(&user.id);
	key->name = name != NULL ? strdup(name) : NULL;
	key->created_ms = cx_wall_ms();
	key->expires_ms = seconds > 0 ? key->created_ms + seconds * 1000 : 0;
	if (key->id == NULL || (name != NULL && key->name == NULL))
		return cx_fail(err, ENOMEM, "key");
	return bound_expiry(req, &key->expires_ms, err);
}

static int make_key(struct cx_request *req, struct cx_key_row *key, char text[CX_KEY_CHARS + 1],
		    struct cx_err *err)
{
	uint8_t hash[32];

	if (parse_key(req, key, err) < 0)
		return -err->errnum;
	cx_key_make(text);
	cx_key_hash(text, hash);
	key->prefix = strndup(text, CX_KEY_SHOWN);
	if (key->prefix == NULL)
		return cx_fail(err, ENOMEM, "key");
	cx_request_about(req, key->id);
	return cx_store_key_insert(req->gateway->store, key, hash, err);
}

void cx_handle_key_create(struct cx_request *req)
{
	CX_AUTO(cx_key_row_clear) struct cx_key_row key = { 0 };
	char text[CX_KEY_CHARS + 1] = "";
	struct cx_err err;

	if (make_key(req, &key, text, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_key(req, &key, text);
	explicit_bzero(text, sizeof text);
}

static int revoke_key(struct cx_request *req, struct cx_key_row *key, struct cx_err *err)
{
	int found = cx_store_key_by_id(req->gateway->store, req->param, key, err);

	if (found < 0)
		return found;
	if (found == 0 || (!req->caller.admin && strcmp(key->user_id, req->caller.user) != 0))
		return cx_refuse(err, CX_NOT_FOUND, "there is no key with the id '%.128s'",
				 req->param);
	if (key->revoked_ms == 0)
		key->revoked_ms = cx_wall_ms();
	return cx_store_key_update(req->gateway->store, key, err);
}

void cx_handle_key_revoke(struct cx_request *req)
{
	CX_AUTO(cx_key_row_clear) struct cx_key_row key = { 0 };
	struct cx_err err;

	if (revoke_key(req, &key, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_request_recheck(req);
	answer_key(req, &key, NULL);
}
