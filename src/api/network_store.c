/* SPDX-License-Identifier: Apache-2.0 */
#include "api/network_store.h"

#include <stdio.h>

#include "api/store_inner.h"
#include "base/cleanup.h"

#define COLUMNS "row, at_ms, generation, protocol, address, port, name, why, count"

enum statement {
	NUMBER_ADD,
	NUMBER_FIND,
	SWEEP,
	DENIAL_ADD,
	DENIAL_BOUND,
	DENIAL_LIST,
	STATEMENT_MAX,
};

static const char *const statements[STATEMENT_MAX] = {
	[NUMBER_ADD] = "INSERT INTO networks (user_id, name) VALUES (?1, ?2)"
		       " ON CONFLICT DO NOTHING",
	[NUMBER_FIND] = "SELECT number FROM networks WHERE user_id=?1 AND name=?2",
	[SWEEP] = "DELETE FROM networks WHERE number NOT IN"
		  " (SELECT network_link FROM sandboxes WHERE status IN " CX_STORE_LIVE ")",
	[DENIAL_ADD] =
		"INSERT INTO denials (sandbox, at_ms, generation, protocol, address, port, name,"
		" why, count) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
		" WHERE EXISTS (SELECT 1 FROM sandboxes WHERE row=?1)",
	[DENIAL_BOUND] = "DELETE FROM denials WHERE sandbox=?1 AND row <= (SELECT row FROM denials"
			 " WHERE sandbox=?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)",
	[DENIAL_LIST] = "SELECT " COLUMNS " FROM (SELECT " COLUMNS " FROM denials"
			" WHERE sandbox=?1 AND row > ?2"
			" ORDER BY CASE WHEN ?2 = 0 THEN -row ELSE row END LIMIT ?3) ORDER BY row",
};
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->networks[which], statements[which], err);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static int add_number(struct cx_store *store, const char *user, const char *name,
		      struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, NUMBER_ADD, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, user);
	cx_store_bind_text(stmt, 2, name);
	return cx_store_run(store, stmt, "make a network", err);
}

int cx_store_network_number(struct cx_store *store, const char *user, const char *name,
			    uint32_t *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, NUMBER_FIND, err);
	int64_t number;

	if (stmt == NULL || add_number(store, user, name, err) < 0)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, user);
	cx_store_bind_text(stmt, 2, name);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "look a network up", err);
	number = sqlite3_column_int64(stmt, 0);
	if (number < 1 || number > UINT32_MAX)
		return cx_refuse(err, CX_LIMIT, "the numbers of networks are used up");
	*ret = (uint32_t)number;
	return 0;
}

int cx_store_network_sweep(struct cx_store *store, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SWEEP, err);

	return stmt != NULL ? cx_store_run(store, stmt, "forget networks", err) : -err->errnum;
}

/* ---- denials -------------------------------------------------------------------------------- */

static int add_one(struct cx_store *store, const struct cx_denial *denial, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, DENIAL_ADD, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, denial->sandbox);
	(void)sqlite3_bind_int64(stmt, 2, denial->at_ms);
	(void)sqlite3_bind_int64(stmt, 3, denial->generation);
	(void)sqlite3_bind_int64(stmt, 4, denial->protocol);
	if (denial->naddress > 0)
		(void)sqlite3_bind_blob(stmt, 5, denial->address, (int)denial->naddress,
					SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 6, denial->port);
	cx_store_bind_text(stmt, 7, denial->name[0] != '\0' ? denial->name : NULL);
	cx_store_bind_text(stmt, 8, denial->why);
	(void)sqlite3_bind_int64(stmt, 9, denial->count);
	return cx_store_run(store, stmt, "record a denial", err);
}

static int bound(struct cx_store *store, int64_t sandbox, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, DENIAL_BOUND, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, sandbox);
	(void)sqlite3_bind_int64(stmt, 2, CX_DENIALS_KEPT);
	return cx_store_run(store, stmt, "forget old denials", err);
}

static int add_all(struct cx_store *store, const struct cx_denial *denials, size_t n,
		   struct cx_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (add_one(store, &denials[i], err) < 0 ||
		    bound(store, denials[i].sandbox, err) < 0)
			return -err->errnum;
	return 0;
}

int cx_store_denials_add(struct cx_store *store, const struct cx_denial *denials, size_t n,
			 struct cx_err *err)
{
	struct cx_err ignored;

	if (cx_store_exec(store, "BEGIN IMMEDIATE", "record denials", err) < 0)
		return -err->errnum;
	if (add_all(store, denials, n, err) == 0 &&
	    cx_store_exec(store, "COMMIT", "record denials", err) == 0)
		return 0;
	(void)!cx_store_exec(store, "ROLLBACK", "record denials", &ignored);
	return -err->errnum;
}

static void copy_text(sqlite3_stmt *stmt, int at, char *ret, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	(void)snprintf(ret, size, "%s", text != NULL ? text : "");
}

static void read_denial(sqlite3_stmt *stmt, int64_t sandbox, struct cx_denial *ret)
{
	int len = sqlite3_column_bytes(stmt, 4);

	*ret = (struct cx_denial){ .row = sqlite3_column_int64(stmt, 0),
				   .sandbox = sandbox,
				   .at_ms = sqlite3_column_int64(stmt, 1),
				   .generation = sqlite3_column_int64(stmt, 2),
				   .protocol = (unsigned)sqlite3_column_int(stmt, 3),
				   .port = (unsigned)sqlite3_column_int(stmt, 5),
				   .count = sqlite3_column_int64(stmt, 8) };
	if (len == 4 || len == 16) {
		memcpy(ret->address, sqlite3_column_blob(stmt, 4), (size_t)len);
		ret->naddress = (unsigned)len;
	}
	copy_text(stmt, 6, ret->name, sizeof ret->name);
	copy_text(stmt, 7, ret->why, sizeof ret->why);
}

int cx_store_denial_each(struct cx_store *store, int64_t sandbox, int64_t after, int64_t limit,
			 int (*each)(const struct cx_denial *denial, void *arg, struct cx_err *err),
			 void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, DENIAL_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, sandbox);
	(void)sqlite3_bind_int64(stmt, 2, after);
	(void)sqlite3_bind_int64(stmt, 3, limit);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct cx_denial denial;

		read_denial(stmt, sandbox, &denial);
		if (each(&denial, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list denials", err);
}
