/* SPDX-License-Identifier: Apache-2.0 */
#include "api/event_store.h"

#include "api/store_inner.h"

enum statement { ALL, LIVING, LAST, STATEMENT_MAX };
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

#define COLUMNS "SELECT 0" CX_EVENT_COLUMNS(CX_SQL_NAME)
#define RANGE	" FROM events AS e WHERE seq > ?1 AND seq <= ?2"

static const char *const statements[STATEMENT_MAX] = {
	[ALL] = COLUMNS RANGE " ORDER BY seq LIMIT ?3",
	[LIVING] = (COLUMNS RANGE " AND status IN " CX_STORE_LIVE
				  " AND seq = (SELECT max(seq) FROM events"
				  " WHERE row = e.row AND seq <= ?2) ORDER BY seq LIMIT ?3"),
	[LAST] = "SELECT max(seq) FROM events",
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->events[which], statements[which], err);
}

void cx_event_row_clear(struct cx_event_row *row)
{
	CX_EVENT_COLUMNS(CX_CLEAR)
}

static int read_row(sqlite3_stmt *stmt, struct cx_event_row *row, struct cx_err *err)
{
	int at = 1, bad = 0;

	CX_EVENT_COLUMNS(CX_READ)
	return bad == 0 ? 0 : cx_fail(err, ENOMEM, "read an event");
}

int cx_store_event_each(struct cx_store *store, const struct cx_event_range *range,
			int (*each)(const struct cx_event_row *row, void *arg, struct cx_err *err),
			void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, range->living ? LIVING : ALL, err);
	int r = SQLITE_DONE;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, range->after);
	(void)sqlite3_bind_int64(stmt, 2, range->last);
	(void)sqlite3_bind_int64(stmt, 3, range->limit);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		CX_AUTO(cx_event_row_clear) struct cx_event_row row = { 0 };

		if (read_row(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list events", err);
}

int cx_store_event_last(struct cx_store *store, int64_t *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, LAST, err);

	if (stmt == NULL)
		return -err->errnum;
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "count events", err);
	*ret = sqlite3_column_int64(stmt, 0); /* NULL is 0 */
	return 0;
}
