/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ssh_store.h"

#include "api/store_inner.h"

enum statement { EXPIRE, COUNT, INSERT, GET, UPDATE, REMOVE, STATEMENT_MAX };
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

static const char *const statements[STATEMENT_MAX] = {
	[EXPIRE] = "DELETE FROM ssh_sessions WHERE expires_ms <= ?1",
	[COUNT] = "SELECT count(*) FROM ssh_sessions WHERE sandbox=?1",
	[INSERT] = "INSERT INTO ssh_sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[GET] = ("SELECT sandbox, user_id, created_ms, expires_ms, key FROM ssh_sessions"
		 " WHERE id=?1"),
	[UPDATE] = "UPDATE ssh_sessions SET expires_ms=?2, key=?3 WHERE id=?1",
	[REMOVE] = "DELETE FROM ssh_sessions WHERE id=?1",
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->ssh[which], statements[which], err);
}

static int expire(struct cx_store *store, int64_t now_ms, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, EXPIRE, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, now_ms);
	return cx_store_run(store, stmt, "forget SSH sessions", err);
}

static int check_room(struct cx_store *store, const char *sandbox, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, COUNT, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, sandbox);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "count SSH sessions", err);
	if (sqlite3_column_int64(stmt, 0) >= CX_SSH_SESSIONS_MAX)
		return cx_refuse(err, CX_LIMIT, "the sandbox has %d SSH sessions; delete one",
				 CX_SSH_SESSIONS_MAX);
	return 0;
}

static void bind_key(sqlite3_stmt *stmt, int at, const struct cx_ssh_key *key)
{
	(void)sqlite3_bind_blob(stmt, at, key->blob, (int)key->len, SQLITE_STATIC);
}

int cx_store_ssh_insert(struct cx_store *store, const struct cx_ssh_session_row *row,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = NULL;

	if (expire(store, row->created_ms, err) < 0 || check_room(store, row->sandbox, err) < 0)
		return -err->errnum;
	stmt = take(store, INSERT, err);
	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, row->id);
	cx_store_bind_text(stmt, 2, row->sandbox);
	cx_store_bind_text(stmt, 3, row->user_id);
	(void)sqlite3_bind_int64(stmt, 4, row->created_ms);
	(void)sqlite3_bind_int64(stmt, 5, row->expires_ms);
	bind_key(stmt, 6, &row->key);
	return cx_store_run(store, stmt, "keep an SSH session", err);
}

static bool read_text(sqlite3_stmt *stmt, int at, char ret[CX_SSH_USER_MAX + 1])
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	return text != NULL && cx_str_copy(cx_str_of(text), ret, CX_SSH_USER_MAX + 1);
}

int cx_store_ssh_get(struct cx_store *store, const char *id, struct cx_ssh_session_row *ret,
		     struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, GET, err);
	int r, len;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	*ret = (struct cx_ssh_session_row){ 0 };
	len = r == SQLITE_ROW ? sqlite3_column_bytes(stmt, 4) : -1;
	if (len < 0 || len > CX_SSH_KEY_MAX ||
	    !cx_str_copy(cx_str_of(id), ret->id, sizeof ret->id) ||
	    !read_text(stmt, 0, ret->sandbox) || !read_text(stmt, 1, ret->user_id))
		return cx_store_fail(store, "look an SSH session up", err);
	ret->created_ms = sqlite3_column_int64(stmt, 2);
	ret->expires_ms = sqlite3_column_int64(stmt, 3);
	ret->key.len = (uint32_t)len;
	if (len > 0)
		memcpy(ret->key.blob, sqlite3_column_blob(stmt, 4), (size_t)len);
	return 1;
}

int cx_store_ssh_update(struct cx_store *store, const struct cx_ssh_session_row *row,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, UPDATE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, row->id);
	(void)sqlite3_bind_int64(stmt, 2, row->expires_ms);
	bind_key(stmt, 3, &row->key);
	return cx_store_run(store, stmt, "change an SSH session", err);
}

int cx_store_ssh_remove(struct cx_store *store, const char *id, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, REMOVE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id);
	return cx_store_run(store, stmt, "forget an SSH session", err);
}
