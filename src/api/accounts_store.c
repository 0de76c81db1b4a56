/* SPDX-License-Identifier: Apache-2.0 */
#include "api/accounts_store.h"

#include "api/later.h"
#include "api/store_inner.h"

/* Each list begins with ", ", which a first column 0 takes. */
#define USER_COLUMNS  "0" CX_USER_COLUMNS(CX_SQL_NAME)
#define TEAM_COLUMNS  "0" CX_TEAM_COLUMNS(CX_SQL_NAME)
#define KEY_COLUMNS   "0" CX_KEY_COLUMNS(CX_SQL_NAME)
#define AUDIT_COLUMNS "0" CX_AUDIT_COLUMNS(CX_SQL_NAME)

enum statement {
	USER_INSERT,
	USER_UPDATE,
	USER_REMOVE,
	USER_BY_ID,
	USER_BY_NAME,
	USER_BY_UID,
	USER_LIST,
	USER_OWNS,
	USER_USAGE,
	TEAM_INSERT,
	TEAM_REMOVE,
	TEAM_FIND,
	TEAM_LIST,
	MEMBER_PUT,
	MEMBER_REMOVE,
	MEMBER_LIST,
	MEMBER_ROLE,
	KEY_INSERT,
	KEY_UPDATE,
	KEY_BY_HASH,
	KEY_BY_ID,
	KEY_LIST,
	AUDIT_INSERT,
	AUDIT_LIST,
	STATEMENT_MAX,
};
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

/* Parameter 1 of what binds a row by its list is free for something else. */
static const char *const statements[STATEMENT_MAX] = {
	[USER_INSERT] = "INSERT INTO users SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
			" ?13",
	[USER_UPDATE] = "UPDATE users SET id=?2, name=?3, email=?4, role=?5, unix_uid=?6,"
			" disabled=?7, created_ms=?8, max_sandboxes=?9, max_cpu_cores=?10,"
			" max_memory_gb=?11, max_core_hours=?12, used_core_ms=?13 WHERE id=?2",
	[USER_REMOVE] = "DELETE FROM users WHERE id=?1",
	[USER_BY_ID] = "SELECT " USER_COLUMNS " FROM users WHERE id=?1",
	[USER_BY_NAME] = "SELECT " USER_COLUMNS " FROM users WHERE name=?1",
	[USER_BY_UID] = "SELECT " USER_COLUMNS " FROM users WHERE unix_uid=?1 AND unix_uid >= 0",
	[USER_LIST] = "SELECT " USER_COLUMNS " FROM users ORDER BY name",
	[USER_OWNS] = "SELECT disabled FROM sandboxes JOIN users ON user_id=users.id"
		      " WHERE sandboxes.id=?1",
	[USER_USAGE] = "SELECT count(*), total(cpu_cores), total(memory_gb),"
		       " total(CASE WHEN started_ms > 0 THEN cpu_cores * (?2 - started_ms) END)"
		       " + (SELECT total(used_core_ms) FROM users WHERE id=?1)"
		       " FROM sandboxes INDEXED BY any_status WHERE user_id=?1"
		       " AND status IN " CX_STORE_LIVE,
	[TEAM_INSERT] = "INSERT INTO teams VALUES (?2, ?3, ?4)",
	[TEAM_REMOVE] = "DELETE FROM teams WHERE id=?1",
	[TEAM_FIND] = "SELECT " TEAM_COLUMNS ", NULL FROM teams WHERE id=?1 OR name=?1"
		      " ORDER BY id<>?1 LIMIT 1",
	[TEAM_LIST] = "SELECT " TEAM_COLUMNS ", role FROM teams LEFT JOIN members"
		      " ON team_id=id AND user_id=?1 WHERE ?1 IS NULL OR user_id=?1 ORDER BY name",
	[MEMBER_PUT] = "INSERT INTO members VALUES (?1, ?2, ?3)"
		       " ON CONFLICT (team_id, user_id) DO UPDATE SET role=excluded.role",
	[MEMBER_REMOVE] = "DELETE FROM members WHERE team_id=?1 AND user_id=?2",
	[MEMBER_LIST] = "SELECT team_id, user_id, name, members.role FROM members JOIN users"
			" ON user_id=id WHERE team_id=?1 ORDER BY name",
	[MEMBER_ROLE] = "SELECT role='owner' FROM members WHERE team_id=?1 AND user_id=?2",
	[KEY_INSERT] = "INSERT INTO keys VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?1)",
	[KEY_UPDATE] = "UPDATE keys SET user_id=?3, name=?4, prefix=?5, created_ms=?6,"
		       " expires_ms=?7, revoked_ms=?8, used_ms=?9 WHERE id=?2",
	[KEY_BY_HASH] = "SELECT " KEY_COLUMNS " FROM keys WHERE hash=?1",
	[KEY_BY_ID] = "SELECT " KEY_COLUMNS " FROM keys WHERE id=?1",
	[KEY_LIST] = "SELECT " KEY_COLUMNS " FROM keys WHERE ?1 IS NULL OR user_id=?1"
		     " ORDER BY created_ms, id",
	[AUDIT_INSERT] = "INSERT INTO audit VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[AUDIT_LIST] = "SELECT " AUDIT_COLUMNS " FROM audit WHERE (?1 IS NULL OR user_id=?1)"
		       " AND (?2=0 OR row < ?2) ORDER BY row DESC LIMIT ?3",
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->accounts[which], statements[which], err);
}

/* Runs one whose parameters are texts; unused ones are NULL. */
static int run_texts(struct cx_store *store, enum statement which, const char *first,
		     const char *second, const char *third, const char *what, struct cx_err *err)
{
	const char *const texts[] = { first, second, third };
	CX_AUTO_STMT *stmt = take(store, which, err);

	if (stmt == NULL)
		return -err->errnum;
	for (int i = 0; i < sqlite3_bind_parameter_count(stmt); i++)
		cx_store_bind_text(stmt, i + 1, texts[i]);
	return cx_store_run(store, stmt, what, err);
}

/* 1: there is a row; 0: there is none. */
static int step(struct cx_store *store, sqlite3_stmt *stmt, const char *what, struct cx_err *err)
{
	int r = sqlite3_step(stmt);

	if (r == SQLITE_ROW)
		return 1;
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, what, err);
}

/* Four kinds of rows, each with a list of columns: how it is read and let go, and how bound. */
#define DEFINE_ROW(kind, COLUMNS)                                               \
	void cx_##kind##_row_clear(struct cx_##kind##_row *row)                 \
	{                                                                       \
		COLUMNS(CX_CLEAR)                                               \
	}                                                                       \
	static int read_##kind(sqlite3_stmt *stmt, struct cx_##kind##_row *row, \
			       struct cx_err *err)                              \
	{                                                                       \
		int at = 1, bad = 0;                                            \
                                                                                \
		COLUMNS(CX_READ)                                                \
		if (bad == 0)                                                   \
			return 0;                                               \
		cx_##kind##_row_clear(row);                                     \
		return cx_fail(err, ENOMEM, "read an account");                 \
	}
#define DEFINE_BIND(kind, COLUMNS)                                                     \
	static void bind_##kind(sqlite3_stmt *stmt, const struct cx_##kind##_row *row) \
	{                                                                              \
		int at = 2;                                                            \
                                                                                       \
		COLUMNS(CX_BIND)                                                       \
	}

/* ---- users ---------------------------------------------------------------------------------- */

DEFINE_ROW(user, CX_USER_COLUMNS)
DEFINE_BIND(user, CX_USER_COLUMNS)

static int put_user(struct cx_store *store, enum statement which, const struct cx_user_row *row,
		    struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, which, err);

	if (stmt == NULL)
		return -err->errnum;
	bind_user(stmt, row);
	if (cx_store_run(store, stmt, "record the user", err) == 0)
		return 0;
	return err->kind != CX_CONFLICT
		       ? -err->errnum
		       : cx_refuse(err, CX_CONFLICT,
				   "another account has the name '%.64s' or this uid", row->name);
}

int cx_store_user_insert(struct cx_store *store, const struct cx_user_row *row, struct cx_err *err)
{
	return put_user(store, USER_INSERT, row, err);
}

int cx_store_user_update(struct cx_store *store, const struct cx_user_row *row, struct cx_err *err)
{
	return put_user(store, USER_UPDATE, row, err);
}

int cx_store_user_remove(struct cx_store *store, const char *id, struct cx_err *err)
{
	return run_texts(store, USER_REMOVE, id, NULL, NULL, "remove the user", err);
}

static int get_user(struct cx_store *store, enum statement which, const char *text,
		    struct cx_user_row *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, which, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, text);
	found = step(store, stmt, "look a user up", err);
	return found == 1 && read_user(stmt, ret, err) < 0 ? -err->errnum : found;
}

int cx_store_user_by_id(struct cx_store *store, const char *id, struct cx_user_row *ret,
			struct cx_err *err)
{
	return get_user(store, USER_BY_ID, id, ret, err);
}

int cx_store_user_by_uid(struct cx_store *store, int64_t uid, struct cx_user_row *ret,
			 struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, USER_BY_UID, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, uid);
	found = step(store, stmt, "look a user up", err);
	return found == 1 && read_user(stmt, ret, err) < 0 ? -err->errnum : found;
}

int cx_store_user_find(struct cx_store *store, const char *id_or_name, struct cx_user_row *ret,
		       struct cx_err *err)
{
	int found = get_user(store, USER_BY_ID, id_or_name, ret, err);

	if (found == 0)
		found = get_user(store, USER_BY_NAME, id_or_name, ret, err);
	if (found < 0)
		return found;
	return found == 1 ? 0
			  : cx_refuse(err, CX_NOT_FOUND, "there is no user '%.128s'", id_or_name);
}

int cx_store_user_each(struct cx_store *store,
		       int (*each)(const struct cx_user_row *row, void *arg, struct cx_err *err),
		       void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, USER_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	while ((r = step(store, stmt, "list users", err)) == 1) {
		CX_AUTO(cx_user_row_clear) struct cx_user_row row = { 0 };

		if (read_user(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r;
}

int cx_store_owner_disabled(struct cx_store *store, const char *sandbox_id, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, USER_OWNS, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, sandbox_id);
	found = step(store, stmt, "look an owner up", err);
	return found == 1 ? sqlite3_column_int(stmt, 0) != 0 : found;
}

int cx_store_user_usage(struct cx_store *store, const char *id, int64_t now_ms,
			struct cx_user_usage *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, USER_USAGE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id);
	(void)sqlite3_bind_int64(stmt, 2, now_ms);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "add a user's sandboxes up", err);
	*ret = (struct cx_user_usage){ .sandboxes = sqlite3_column_int64(stmt, 0),
				       .cpu_cores = sqlite3_column_double(stmt, 1),
				       .memory_gb = sqlite3_column_double(stmt, 2),
				       .core_ms = sqlite3_column_double(stmt, 3) };
	return 0;
}

/* ---- teams ---------------------------------------------------------------------------------- */

#define TEAM_AND_ROLE(C) CX_TEAM_COLUMNS(C) C(text, role)
DEFINE_ROW(team, TEAM_AND_ROLE)
DEFINE_BIND(team, TEAM_AND_ROLE)

int cx_store_team_insert(struct cx_store *store, const struct cx_team_row *row, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, TEAM_INSERT, err);

	if (stmt == NULL)
		return -err->errnum;
	bind_team(stmt, row);
	if (cx_store_run(store, stmt, "record the team", err) == 0)
		return 0;
	return err->kind != CX_CONFLICT
		       ? -err->errnum
		       : cx_refuse(err, CX_CONFLICT, "there is a team '%.64s' already", row->name);
}

int cx_store_team_remove(struct cx_store *store, const char *id, struct cx_err *err)
{
	return run_texts(store, TEAM_REMOVE, id, NULL, NULL, "remove the team", err);
}

int cx_store_team_find(struct cx_store *store, const char *id_or_name, struct cx_team_row *ret,
		       struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, TEAM_FIND, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id_or_name);
	found = step(store, stmt, "look a team up", err);
	if (found == 0)
		return cx_refuse(err, CX_NOT_FOUND, "there is no team '%.128s'", id_or_name);
	return found == 1 ? read_team(stmt, ret, err) : found;
}

int cx_store_team_each(struct cx_store *store, const char *user_id,
		       int (*each)(const struct cx_team_row *row, void *arg, struct cx_err *err),
		       void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, TEAM_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, user_id);
	while ((r = step(store, stmt, "list teams", err)) == 1) {
		CX_AUTO(cx_team_row_clear) struct cx_team_row row = { 0 };

		if (read_team(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r;
}

int cx_store_member_put(struct cx_store *store, const char *team_id, const char *user_id,
			const char *role, struct cx_err *err)
{
	return run_texts(store, MEMBER_PUT, team_id, user_id, role, "record the member", err);
}

int cx_store_member_remove(struct cx_store *store, const char *team_id, const char *user_id,
			   struct cx_err *err)
{
	if (run_texts(store, MEMBER_REMOVE, team_id, user_id, NULL, "remove the member", err) < 0)
		return -err->errnum;
	return sqlite3_changes(store->db) > 0
		       ? 0
		       : cx_refuse(err, CX_NOT_FOUND, "the user is not in this team");
}

void cx_member_row_clear(struct cx_member_row *row)
{
	cx_freep(&row->team_id);
	cx_freep(&row->user_id);
	cx_freep(&row->name);
	cx_freep(&row->role);
}

int cx_store_member_each(struct cx_store *store, const char *team_id,
			 int (*each)(const struct cx_member_row *row, void *arg,
				     struct cx_err *err),
			 void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, MEMBER_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, team_id);
	while ((r = step(store, stmt, "list members", err)) == 1) {
		CX_AUTO(cx_member_row_clear) struct cx_member_row row = { 0 };

		if (cx_store_copy_text(stmt, 0, &row.team_id) < 0 ||
		    cx_store_copy_text(stmt, 1, &row.user_id) < 0 ||
		    cx_store_copy_text(stmt, 2, &row.name) < 0 ||
		    cx_store_copy_text(stmt, 3, &row.role) < 0)
			return cx_fail(err, ENOMEM, "read a member");
		if (each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r;
}

int cx_store_membership(struct cx_store *store, const char *team_id, const char *user_id,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, MEMBER_ROLE, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, team_id);
	cx_store_bind_text(stmt, 2, user_id);
	found = step(store, stmt, "look a member up", err);
	if (found <= 0)
		return found < 0 ? found : CX_MEMBER_NONE;
	return sqlite3_column_int(stmt, 0) != 0 ? CX_MEMBER_OWNER : CX_MEMBER;
}

/* ---- keys ----------------------------------------------------------------------------------- */

DEFINE_ROW(key, CX_KEY_COLUMNS)
DEFINE_BIND(key, CX_KEY_COLUMNS)

int cx_store_key_insert(struct cx_store *store, const struct cx_key_row *row,
			const uint8_t hash[32], struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, KEY_INSERT, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_blob(stmt, 1, hash, 32, SQLITE_STATIC);
	bind_key(stmt, row);
	return cx_store_run(store, stmt, "record the key", err);
}

int cx_store_key_update(struct cx_store *store, const struct cx_key_row *row, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, KEY_UPDATE, err);

	if (stmt == NULL)
		return -err->errnum;
	bind_key(stmt, row);
	return cx_store_run(store, stmt, "record the key", err);
}

static int get_key(struct cx_store *store, sqlite3_stmt *stmt, struct cx_key_row *ret,
		   struct cx_err *err)
{
	int found = step(store, stmt, "look a key up", err);

	return found == 1 && read_key(stmt, ret, err) < 0 ? -err->errnum : found;
}

int cx_store_key_by_hash(struct cx_store *store, const uint8_t hash[32], struct cx_key_row *ret,
			 struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, KEY_BY_HASH, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_blob(stmt, 1, hash, 32, SQLITE_STATIC);
	return get_key(store, stmt, ret, err);
}

int cx_store_key_by_id(struct cx_store *store, const char *id, struct cx_key_row *ret,
		       struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, KEY_BY_ID, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id);
	return get_key(store, stmt, ret, err);
}

int cx_store_key_each(struct cx_store *store, const char *user_id,
		      int (*each)(const struct cx_key_row *row, void *arg, struct cx_err *err),
		      void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, KEY_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, user_id);
	while ((r = step(store, stmt, "list keys", err)) == 1) {
		CX_AUTO(cx_key_row_clear) struct cx_key_row row = { 0 };

		if (read_key(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r;
}

/* ---- audit ---------------------------------------------------------------------------------- */

DEFINE_ROW(audit, CX_AUDIT_COLUMNS)

int cx_store_audit_insert(struct cx_store *store, const struct cx_audit_row *row,
			  struct cx_err *err)
{
	struct cx_params params = { 0 };

	CX_AUDIT_COLUMNS(CX_PARAM)
	return cx_later_put(store, CX_LATER_AUDIT, &params, err);
}

int cx_store_audit_run(struct cx_store *store, const struct cx_params *params, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, AUDIT_INSERT, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_params(stmt, params);
	return cx_store_run(store, stmt, "write the audit log", err);
}

int cx_store_audit_each(struct cx_store *store, const char *user_id, int64_t before, int64_t limit,
			int (*each)(const struct cx_audit_row *row, void *arg, struct cx_err *err),
			void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = NULL;
	int r;

	if (cx_later_run(store, err) == 0)
		stmt = take(store, AUDIT_LIST, err);
	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, user_id);
	(void)sqlite3_bind_int64(stmt, 2, before);
	(void)sqlite3_bind_int64(stmt, 3, limit);
	while ((r = step(store, stmt, "read the audit log", err)) == 1) {
		CX_AUTO(cx_audit_row_clear) struct cx_audit_row row = { 0 };

		if (read_audit(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r;
}
