/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sealed_store.h"

#include "api/store_inner.h"

enum statement { PUT, GET, REMOVE, NEXT, ID_GET, ID_FORGET, ID_PUT, STATEMENT_MAX };
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

static const char *const statements[STATEMENT_MAX] = {
	[PUT] = ("INSERT INTO sealed VALUES (?1, ?2) ON CONFLICT (sandbox) DO UPDATE"
		 " SET box=excluded.box"),
	[GET] = "SELECT box FROM sealed WHERE sandbox=?1",
	[REMOVE] = "DELETE FROM sealed WHERE sandbox=?1",
	[NEXT] = "SELECT sandbox FROM sealed WHERE sandbox > ?1 ORDER BY sandbox LIMIT 1",
	[ID_GET] = "SELECT id FROM seal_key",
	[ID_FORGET] = "DELETE FROM seal_key",
	[ID_PUT] = "INSERT INTO seal_key VALUES (?1)",
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->sealed[which], statements[which], err);
}

int cx_store_sealed_put(struct cx_store *store, int64_t sandbox, const struct cx_buf *box,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, PUT, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, sandbox);
	(void)sqlite3_bind_blob64(stmt, 2, box->p, box->len, SQLITE_STATIC);
	return cx_store_run(store, stmt, "keep what is sealed", err);
}

int cx_store_sealed_get(struct cx_store *store, int64_t sandbox, struct cx_buf *box,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, GET, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, sandbox);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW)
		return cx_store_fail(store, "read what is sealed", err);
	if (cx_buf_add(box, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0),
		       err) < 0)
		return -err->errnum;
	return 1;
}

int cx_store_sealed_remove(struct cx_store *store, int64_t sandbox, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, REMOVE, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, sandbox);
	return cx_store_run(store, stmt, "forget what is sealed", err);
}

int cx_store_seal_id(struct cx_store *store, uint8_t ret[CX_SEAL_ID], struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, ID_GET, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW || sqlite3_column_bytes(stmt, 0) != CX_SEAL_ID)
		return cx_store_fail(store, "read which key seals", err);
	memcpy(ret, sqlite3_column_blob(stmt, 0), CX_SEAL_ID);
	return 1;
}

/* 1: *sandbox is the next one behind it. */
static int next(struct cx_store *store, int64_t *sandbox, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, NEXT, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, *sandbox);
	r = sqlite3_step(stmt);
	if (r == SQLITE_ROW)
		*sandbox = sqlite3_column_int64(stmt, 0);
	return r == SQLITE_ROW	  ? 1
	       : r == SQLITE_DONE ? 0
				  : cx_store_fail(store, "look for what is sealed", err);
}

static int note_id(struct cx_store *store, const uint8_t id[CX_SEAL_ID], struct cx_err *err)
{
	CX_AUTO_STMT *forget = take(store, ID_FORGET, err);
	CX_AUTO_STMT *put = forget != NULL ? take(store, ID_PUT, err) : NULL;

	if (put == NULL)
		return -err->errnum;
	(void)sqlite3_bind_blob(put, 1, id, CX_SEAL_ID, SQLITE_STATIC);
	if (cx_store_run(store, forget, "note which key seals", err) < 0)
		return -err->errnum;
	return cx_store_run(store, put, "note which key seals", err);
}

static int turn_all(struct cx_store *store,
		    int (*turn)(int64_t sandbox, struct cx_buf *box, void *arg, struct cx_err *err),
		    void *arg, struct cx_err *err)
{
	int64_t sandbox = 0;
	int found, n = 0;

	while ((found = next(store, &sandbox, err)) == 1) {
		CX_AUTO(cx_buf_wipe) struct cx_buf box = { .max = CX_SEALED_MAX };

		if (cx_store_sealed_get(store, sandbox, &box, err) < 0 ||
		    turn(sandbox, &box, arg, err) < 0 ||
		    cx_store_sealed_put(store, sandbox, &box, err) < 0)
			return -err->errnum;
		n++;
	}
	return found < 0 ? found : n;
}

int cx_store_sealed_turn(struct cx_store *store, const uint8_t id[CX_SEAL_ID],
			 int (*turn)(int64_t sandbox, struct cx_buf *box, void *arg,
				     struct cx_err *err),
			 void *arg, struct cx_err *err)
{
	static const char what[] = "seal anew";
	struct cx_err ignored;
	int n;

	/* The old key goes after this: unlike other rows, these must be on the disk by then. */
	if (cx_store_exec(store, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE", what, err) < 0)
		return -err->errnum;
	n = turn_all(store, turn, arg, err);
	if (n < 0 || note_id(store, id, err) < 0 || cx_store_exec(store, "COMMIT", what, err) < 0) {
		n = -err->errnum;
		(void)!cx_store_exec(store, "ROLLBACK", what, &ignored);
	}
	(void)!cx_store_exec(store, "PRAGMA synchronous=NORMAL", what, &ignored);
	return n;
}
