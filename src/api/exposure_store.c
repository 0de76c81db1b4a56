/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exposure_store.h"

#include "api/store_inner.h"

enum statement { PUT, REMOVE, EACH, STATEMENT_MAX };
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

static const char *const statements[STATEMENT_MAX] = {
	[PUT] = ("INSERT INTO exposures VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
		 " ON CONFLICT (id) DO UPDATE SET external_port=excluded.external_port"),
	[REMOVE] = "DELETE FROM exposures WHERE id=?1",
	[EACH] = ("SELECT 0" CX_EXPOSURE_COLUMNS(CX_SQL_NAME) " FROM exposures"
							      " ORDER BY rowid"),
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->exposures[which], statements[which], err);
}

void cx_exposure_row_clear(struct cx_exposure_row *row)
{
	CX_EXPOSURE_COLUMNS(CX_CLEAR)
}

int cx_store_exposure_put(struct cx_store *store, const struct cx_exposure_row *row,
			  struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, PUT, err);
	int at = 1;

	if (stmt == NULL)
		return -err->errnum;
	CX_EXPOSURE_COLUMNS(CX_BIND)
	return cx_store_run(store, stmt, "keep an exposed port", err);
}

int cx_store_exposure_remove(struct cx_store *store, const char *id, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, REMOVE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, id);
	return cx_store_run(store, stmt, "forget an exposed port", err);
}

static int read_row(sqlite3_stmt *stmt, struct cx_exposure_row *row, struct cx_err *err)
{
	int at = 1, bad = 0;

	CX_EXPOSURE_COLUMNS(CX_READ)
	return bad == 0 ? 0 : cx_fail(err, ENOMEM, "read an exposed port");
}

int cx_store_exposure_each(struct cx_store *store,
			   int (*each)(const struct cx_exposure_row *row, void *arg,
				       struct cx_err *err),
			   void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, EACH, err);
	int r = SQLITE_DONE;

	if (stmt == NULL)
		return -err->errnum;
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		CX_AUTO(cx_exposure_row_clear) struct cx_exposure_row row = { 0 };

		if (read_row(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list exposed ports", err);
}
