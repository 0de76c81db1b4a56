/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ssh.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"
#include "api/prime/token.h"
#include "api/ssh_store.h"

/*
 * Sessions of SSH. The newest generation gives its key when it asks for one; the first brings it
 * later, with the token of the sandbox that it got with the session.
 */
enum {
	TTL_DEFAULT = 8 * 3600, /* seconds */
	TTL_MAX = 24 * 3600,
	ID_LETTERS = 26, /* 122 bits */
	HOST_MAX = 256,
};

static int read_ttl(const struct json_t *doc, int64_t *ret, struct cx_err *err)
{
	*ret = TTL_DEFAULT;
	return cx_json_int(doc, "ttl_seconds", 1, TTL_MAX, ret, err);
}

/* 1: there is a key. */
static int read_key(const struct json_t *doc, struct cx_ssh_key *ret, struct cx_err *err)
{
	const char *text = NULL;
	int found = cx_json_text(doc, "public_key", CX_SSH_KEY_TEXT_MAX, &text, err);

	if (found <= 0)
		return found;
	return cx_ssh_key_parse(text, "public_key", ret, err) < 0 ? -err->errnum : 1;
}

/* No digits: some clients look for numbers in what they are told. */
static void make_id(char ret[CX_SSH_USER_MAX + 1])
{
	for (unsigned i = 0; i < ID_LETTERS; i++)
		ret[i] = (char)('a' + (char)randombytes_uniform(26));
	ret[ID_LETTERS] = '\0';
}

/* ---- a new one ------------------------------------------------------------------------------- */

/* Where a client finds us that came by this request: the host it knows, if we listen on any. */
static void host_of(const struct cx_request *req, const struct cx_ssh_where *at, char ret[HOST_MAX])
{
	const char *host = cx_request_host(req);
	const char *begin = host != NULL && host[0] == '[' ? host + 1 : host;

	if (at->host[0] != '\0' || host == NULL || host[0] == '\0')
		(void)snprintf(ret, HOST_MAX, "%s", at->host[0] != '\0' ? at->host : "127.0.0.1");
	else
		(void)snprintf(ret, HOST_MAX, "%.*s",
			       (int)strcspn(begin, begin != host ? "]" : ":"), begin);
}

static int write_session(struct cx_request *req, const struct cx_ssh_session_row *row,
			 struct cx_jsonw *w, struct cx_err *err)
{
	char host[HOST_MAX], endpoint[HOST_MAX + 8], expires[32];
	struct cx_ssh_where at;

	if (cx_ssh_where(req->gateway, &at, err) < 0)
		return -err->errnum;
	host_of(req, &at, host);
	(void)snprintf(endpoint, sizeof endpoint, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u",
		       host, at.port);
	cx_time_text(row->expires_ms, expires);
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "session_id", row->id);
	cx_jsonw_text(w, "exposure_id", row->id);
	cx_jsonw_text(w, "sandbox_id", row->sandbox);
	cx_jsonw_text(w, "host", host);
	cx_jsonw_int(w, "port", at.port);
	cx_jsonw_text(w, "external_endpoint", endpoint);
	cx_jsonw_text(w, "expires_at", expires);
	cx_jsonw_int(w, "ttl_seconds", (row->expires_ms - row->created_ms) / 1000);
	cx_jsonw_text(w, "host_key", at.host_key);
	cx_prime_write_access(w, req, row->sandbox, cx_wall_ms() + CX_TOKEN_MS);
	cx_jsonw_end(w);
	return 0;
}

static int fill(struct cx_request *req, const char *sandbox, struct cx_ssh_session_row *row,
		struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	int64_t ttl;

	*row = (struct cx_ssh_session_row){ .created_ms = cx_wall_ms() };
	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    read_ttl(doc, &ttl, err) < 0 || read_key(doc, &row->key, err) < 0)
		return -err->errnum;
	if (!cx_str_copy(cx_str_of(sandbox), row->sandbox, sizeof row->sandbox) ||
	    !cx_str_copy(cx_str_of(req->caller.user), row->user_id, sizeof row->user_id))
		return cx_refuse(err, CX_INTERNAL, "a name that is too long");
	row->expires_ms = row->created_ms + ttl * 1000;
	make_id(row->id);
	return 0;
}

static int open_session(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_ssh_session_row row;
	struct cx_ssh_where at;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				 named.row->status);
	if (cx_box_agent(named.box, err) == NULL || cx_ssh_where(req->gateway, &at, err) < 0 ||
	    fill(req, named.row->id, &row, err) < 0 ||
	    cx_store_ssh_insert(req->gateway->store, &row, err) < 0)
		return -err->errnum;
	return write_session(req, &row, w, err);
}

static void answer(struct cx_request *req,
		   int (*make)(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err))
{
	struct cx_buf json = { .max = 16384 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (make(req, &w, &err) == 0) {
		cx_request_answer_json(req, &w);
		return;
	}
	cx_buf_free(&json);
	cx_request_fail(req, &err);
}

void cx_prime_ssh_session(struct cx_request *req)
{
	answer(req, open_session);
}

/* ---- its key, and its end -------------------------------------------------------------------- */

/* Of this sandbox; one of another does not exist. */
static int find(struct cx_request *req, const char *id, struct cx_ssh_session_row *ret,
		struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	int found;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	found = cx_store_ssh_get(req->gateway->store, id, ret, err);
	if (found < 0)
		return found;
	if (found == 0 || strcmp(ret->sandbox, named.row->id) != 0)
		return cx_refuse(err, CX_NOT_FOUND, "no SSH session '%.64s'", id);
	return 0;
}

static int authorize(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_ssh_session_row row;
	struct cx_ssh_key key;
	const char *id = "";
	char expires[32];
	int64_t ttl;
	int has_key;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_json_text(doc, "session_id", CX_SSH_USER_MAX, &id, err) < 0 ||
	    read_ttl(doc, &ttl, err) < 0)
		return -err->errnum;
	has_key = read_key(doc, &key, err);
	if (has_key < 0 || find(req, id, &row, err) < 0)
		return -err->errnum;
	if (has_key == 0)
		return cx_refuse(err, CX_INVALID, "'public_key' is missing");
	if (row.key.len != 0)
		return cx_refuse(err, CX_CONFLICT, "the session has a key already");
	row.key = key;
	row.expires_ms = cx_wall_ms() + ttl * 1000;
	if (cx_store_ssh_update(req->gateway->store, &row, err) < 0)
		return -err->errnum;
	cx_time_text(row.expires_ms, expires);
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "session_id", row.id);
	cx_jsonw_text(w, "expires_at", expires);
	cx_jsonw_end(w);
	return 0;
}

void cx_prime_ssh_authorize(struct cx_request *req)
{
	answer(req, authorize);
}

static int end(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	struct cx_ssh_session_row row;

	if (find(req, cx_request_second(req), &row, err) < 0 ||
	    cx_store_ssh_remove(req->gateway->store, row.id, err) < 0)
		return -err->errnum;
	cx_ssh_end_session(req->gateway, row.id);
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "message", "SSH session ended");
	cx_jsonw_text(w, "session_id", row.id);
	cx_jsonw_end(w);
	return 0;
}

void cx_prime_ssh_session_delete(struct cx_request *req)
{
	answer(req, end);
}
