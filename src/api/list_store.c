/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/store.h"
#include "api/store_inner.h"
#include "base/cleanup.h"

/*
 * Lists of sandboxes, and how many are in them. What it costs must not grow with the number of
 * records: an index leads to the rows of a page, and a tally is kept of how many there are of each
 * kind, in memory, by triggers that see every change.
 */

#define KIND(of)                                                                           \
	" status = " of ".status AND coalesce(user_id, '') = coalesce(" of ".user_id, '')" \
	" AND coalesce(team_id, '') = coalesce(" of ".team_id, '')"                        \
	" AND coalesce(labels, '') = coalesce(" of ".labels, '')"
#define COUNT_NEW                                                                        \
	"INSERT INTO tally VALUES (NEW.status, NEW.user_id, NEW.team_id, NEW.labels, 1)" \
	" ON CONFLICT DO UPDATE SET n = n + 1;"
#define COUNT_OLD                                                                      \
	"UPDATE tally SET n = n - 1 WHERE" KIND("OLD") ";"                             \
						       "DELETE FROM tally WHERE" KIND( \
							       "OLD") " AND n <= 0;"

static const char tally[] =
	"CREATE TEMP TABLE tally (status TEXT, user_id TEXT, team_id TEXT, labels TEXT,"
	" n INTEGER NOT NULL);"
	"CREATE UNIQUE INDEX temp.kinds ON tally (status, coalesce(user_id, ''),"
	" coalesce(team_id, ''), coalesce(labels, ''));"
	"INSERT INTO tally SELECT status, user_id, team_id, labels, count(*) FROM sandboxes"
	" WHERE id IS NOT NULL GROUP BY status, user_id, team_id, labels;"
	"CREATE TEMP TRIGGER count_insert AFTER INSERT ON main.sandboxes"
	" WHEN NEW.id IS NOT NULL BEGIN " COUNT_NEW " END;"
	"CREATE TEMP TRIGGER count_delete AFTER DELETE ON main.sandboxes"
	" WHEN OLD.id IS NOT NULL BEGIN " COUNT_OLD " END;"
	"CREATE TEMP TRIGGER count_birth AFTER UPDATE OF id ON main.sandboxes"
	" WHEN OLD.id IS NULL AND NEW.id IS NOT NULL BEGIN " COUNT_NEW " END;"
	"CREATE TEMP TRIGGER count_change AFTER UPDATE OF status ON main.sandboxes"
	" WHEN OLD.id IS NOT NULL AND NEW.status <> OLD.status BEGIN " COUNT_OLD COUNT_NEW " END;";

int cx_store_tally(struct cx_store *store, struct cx_err *err)
{
	return cx_store_exec(store, tally, "count the records", err);
}

/* ---- which --------------------------------------------------------------------------------------
 */

/*
 * Each set of conditions is a statement of its own, made when it is first asked for: so an index
 * leads to what is wanted, which no condition that may be switched off would allow.
 */
enum condition { STATUS, TEAM, LIVE, LABELS, USER, VIEWER, CONDITIONS };
static const char *const conditions[CONDITIONS] = {
	[STATUS] = " AND status = ?1",
	[TEAM] = " AND team_id = ?2",
	[LIVE] = " AND status IN " CX_STORE_LIVE,
	[LABELS] = " AND NOT EXISTS (SELECT 1 FROM json_each(?4) AS want WHERE want.value"
		   " NOT IN (SELECT value FROM json_each(labels)))",
	[USER] = " AND user_id = ?5",
	[VIEWER] = "", /* where it belongs differs */
};
static_assert(1 << CONDITIONS == CX_STORE_STATEMENTS_MAX, "there is a slot for each set");

static bool is_live(const char *status)
{
	char quoted[32];

	(void)snprintf(quoted, sizeof quoted, "'%s'", status);
	return strstr(CX_STORE_LIVE, quoted) != NULL;
}

static unsigned asked_for(const struct cx_sandbox_filter *filter)
{
	const char *status = filter->status;
	const bool asked[CONDITIONS] = {
		[STATUS] = status != NULL,
		[TEAM] = filter->team_id != NULL,
		[LIVE] = filter->live_only || (status != NULL && is_live(status)),
		[LABELS] = filter->labels != NULL && strcmp(filter->labels, "[]") != 0,
		[USER] = filter->user_id != NULL,
		[VIEWER] = filter->viewer != NULL,
	};
	unsigned set = 0;

	for (unsigned i = 0; i < CONDITIONS; i++)
		set |= (unsigned)asked[i] << i;
	return set;
}

struct sql {
	char text[4096]; /* the longest has half of it */
	size_t len;
};

CX_PRINTF(2) static void add(struct sql *sql, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(sql->text + sql->len, sizeof sql->text - sql->len, fmt, args);
	va_end(args);
	sql->len += n > 0 ? (size_t)n : 0;
}

static void add_conditions(struct sql *sql, unsigned set)
{
	for (unsigned i = 0; i < CONDITIONS; i++)
		if ((set >> i & 1) != 0)
			add(sql, "%s", conditions[i]);
}

/* Those that live are few: among them is looked, not among all of an owner's. */
static void add_rows(struct sql *sql, unsigned set, const char *whose, const char *limit)
{
	add(sql, "SELECT row FROM sandboxes%s WHERE id IS NOT NULL%s",
	    (set >> LIVE & 1) != 0 ? " INDEXED BY any_status" : "", whose);
	add_conditions(sql, set);
	add(sql, " ORDER BY row DESC LIMIT %s", limit);
}

/* First the numbers of a page's rows, from indexes alone. What somebody sees comes from several
 * lists, each as long as the page needs at most. */
static void write_list(struct sql *sql, unsigned set)
{
	add(sql, "SELECT " CX_STORE_SANDBOX " FROM sandboxes WHERE row IN (");
	if ((set >> VIEWER & 1) == 0) {
		add_rows(sql, set, "", "?7 OFFSET ?8");
	} else {
		add(sql, "SELECT row FROM (");
		add_rows(sql, set, " AND user_id = ?6", "?9");
		add(sql, ") UNION SELECT sandboxes.row FROM members CROSS JOIN sandboxes"
			 " ON sandboxes.row IN (");
		add_rows(sql, set, " AND team_id = members.team_id", "?9");
		add(sql, ") WHERE members.user_id = ?6 ORDER BY 1 DESC LIMIT ?7 OFFSET ?8");
	}
	add(sql, ") ORDER BY row DESC");
}

static void write_count(struct sql *sql, unsigned set)
{
	add(sql, "SELECT coalesce(sum(n), 0) FROM tally WHERE n > 0");
	add_conditions(sql, set);
	if ((set >> VIEWER & 1) != 0)
		add(sql, " AND" CX_STORE_VISIBLE("?6"));
}

/* A parameter that no condition of the statement has is refused by sqlite, which is fine. */
static sqlite3_stmt *take_filtered(struct cx_store *store, sqlite3_stmt **slots,
				   void (*write)(struct sql *sql, unsigned set),
				   const struct cx_sandbox_filter *filter, struct cx_err *err)
{
	unsigned set = asked_for(filter);
	struct sql sql = { .len = 0 };
	sqlite3_stmt *stmt;

	if (slots[set] == NULL)
		write(&sql, set);
	stmt = cx_store_take(store, &slots[set], sql.text, err);
	if (stmt == NULL)
		return NULL;
	cx_store_bind_text(stmt, 1, filter->status);
	cx_store_bind_text(stmt, 2, filter->team_id);
	cx_store_bind_text(stmt, 4, filter->labels);
	cx_store_bind_text(stmt, 5, filter->user_id);
	cx_store_bind_text(stmt, 6, filter->viewer);
	return stmt;
}

/* ---- asking --------------------------------------------------------------------------------- */

int cx_store_sandbox_each(struct cx_store *store, const struct cx_sandbox_filter *filter,
			  int (*each)(const struct cx_sandbox_row *row, void *arg,
				      struct cx_err *err),
			  void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take_filtered(store, store->lists, write_list, filter, err);
	const int64_t limit = filter->limit;
	int r;

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 7, limit > 0 ? limit : -1);
	(void)sqlite3_bind_int64(stmt, 8, filter->offset);
	(void)sqlite3_bind_int64(stmt, 9, limit > 0 ? limit + filter->offset : -1);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };

		if (cx_store_read_sandbox(stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list sandboxes", err);
}

int cx_store_sandbox_count(struct cx_store *store, const struct cx_sandbox_filter *filter,
			   int64_t *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take_filtered(store, store->counts, write_count, filter, err);

	return stmt != NULL ? cx_store_read_count(store, stmt, ret, err) : -err->errnum;
}

int cx_store_status_each(struct cx_store *store,
			 void (*each)(const char *status, int64_t count, void *arg), void *arg,
			 struct cx_err *err)
{
	CX_AUTO_STMT *stmt = cx_store_take(store, &store->statuses,
					   "SELECT status, sum(n) FROM tally GROUP BY status", err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW)
		each((const char *)sqlite3_column_text(stmt, 0), sqlite3_column_int64(stmt, 1),
		     arg);
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "count sandboxes", err);
}
