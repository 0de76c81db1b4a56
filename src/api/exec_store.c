/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exec_store.h"

#include "api/aead.h"
#include "api/later.h"
#include "api/store_inner.h"
#include "base/loop.h"
#include "base/str.h"

/* Rows that are too old or too many are looked for once in so many puts. */
enum { SWEEP_EVERY = 64 };

enum statement { PUT, REMOVE, FIND, EACH, BOUND, SWEEP, SETTLE, STATEMENT_MAX };
static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

#define NAMES "command, out, out_bytes, err, err_bytes" CX_EXEC_COLUMNS(CX_SQL_NAME)
#define HOLES "?, ?, ?, ?, ?" CX_EXEC_COLUMNS(CX_SQL_HOLE)
enum { COMMAND, OUT, ERR = 3, COLUMNS = 5 }; /* places of what NAMES says */

/* Places of what a row's parameters say that is looked at again, and of its bounds behind them. */
enum { SANDBOX = COLUMNS, ENDED = COLUMNS + 6, KEPT = COLUMNS + 10, FOR_MS, KEPT_ALL, PARAMS };
static_assert((int)PARAMS <= (int)CX_PARAMS_MAX, "all fit");

static const char *const statements[STATEMENT_MAX] = {
	/* An end gets a new number, so that rows that have ended are numbered in that order. */
	[PUT] = "INSERT OR REPLACE INTO execs (" NAMES ") VALUES (" HOLES ")",
	[REMOVE] = "DELETE FROM execs WHERE sandbox_id=?1 AND id=?2",
	[FIND] = "SELECT " NAMES " FROM execs WHERE sandbox_id=?1 AND id=?2",
	[EACH] = ("SELECT command, NULL, 0, NULL, 0" CX_EXEC_COLUMNS(
		CX_SQL_NAME) " FROM execs"
			     " WHERE sandbox_id=?1 AND (ended_ms=0 OR NOT ?2)"
			     " ORDER BY created_ms DESC, row DESC"),
	[BOUND] = ("DELETE FROM execs WHERE sandbox_id=?1 AND ended_ms > 0 AND row <= (SELECT row"
		   " FROM execs WHERE sandbox_id=?1 AND ended_ms > 0 ORDER BY row DESC"
		   " LIMIT 1 OFFSET ?2)"),
	/* Both bounds are of the index of ends alone. */
	[SWEEP] = ("DELETE FROM execs WHERE ended_ms > 0 AND ended_ms < max(?1, ifnull((SELECT"
		   " ended_ms FROM execs WHERE ended_ms > 0 ORDER BY ended_ms DESC"
		   " LIMIT 1 OFFSET ?2 - 1), 0))"),
	[SETTLE] = ("UPDATE execs SET ended_ms=?1, reason=?2,"
		    " result=replace(?3, '\"exec_id\":\"\"', '\"exec_id\":\"' || id || '\"')"
		    " WHERE ended_ms=0 AND NOT EXISTS (SELECT 1 FROM sandboxes"
		    " WHERE sandboxes.id=execs.sandbox_id AND status IN " CX_STORE_LIVE ")"),
};

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->execs[which], statements[which], err);
}

void cx_exec_row_clear(struct cx_exec_row *row)
{
	CX_EXEC_COLUMNS(CX_CLEAR)
	cx_freep(&row->command);
	cx_excerpt_clear(&row->out);
	cx_excerpt_clear(&row->err);
}

#define COPY_text(name)                                                    \
	if (from->name != NULL && (to->name = strdup(from->name)) == NULL) \
		return cx_fail(err, ENOMEM, "record of a command");
#define COPY_integer(name) to->name = from->name;
#define COPY(type, name)   COPY_##type(name)

int cx_exec_row_copy(struct cx_exec_row *to, const struct cx_exec_row *from, struct cx_err *err)
{
	CX_EXEC_COLUMNS(COPY)
	COPY_text(command) return 0;
}

/* ---- sealing --------------------------------------------------------------------------------- */

enum { OWNER_MAX = 256 };

void cx_store_exec_key(struct cx_store *store, const uint8_t key[CX_KEYFILE_BYTES])
{
	memcpy(store->exec_key, key, CX_KEYFILE_BYTES);
}

/* What is of one command, and one column of it, passes for no other's. */
static int owner_of(const struct cx_store *store, const struct cx_exec_row *row, int column,
		    char owner[OWNER_MAX], struct cx_aead *ret, struct cx_err *err)
{
	if (cx_format(owner, OWNER_MAX, "%d %s %s", err, column, row->sandbox_id, row->id) < 0)
		return -err->errnum;
	*ret = (struct cx_aead){ store->exec_key, owner, strlen(owner) };
	return 0;
}

/* Of nothing there is no box. */
static int seal(const struct cx_store *store, const struct cx_exec_row *row, int column,
		const char *p, size_t len, struct cx_buf *box, struct cx_err *err)
{
	char owner[OWNER_MAX];
	struct cx_aead with;

	if (len == 0)
		return 0;
	box->max = len + CX_AEAD_EXTRA;
	return owner_of(store, row, column, owner, &with, err) < 0
		       ? -err->errnum
		       : cx_aead_seal(&with, p, len, box, err);
}

static int open_sealed(const struct cx_store *store, const struct cx_exec_row *row,
		       sqlite3_stmt *stmt, int column, struct cx_buf *ret, struct cx_err *err)
{
	size_t len = (size_t)sqlite3_column_bytes(stmt, column);
	char owner[OWNER_MAX];
	struct cx_aead with;

	ret->max = len;
	if (len == 0)
		return 0;
	return owner_of(store, row, column, owner, &with, err) < 0
		       ? -err->errnum
		       : cx_aead_open(&with, sqlite3_column_blob(stmt, column), len, ret, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Of a stream that is cut the number of bytes is stored inverted. */
static void add_excerpt(struct cx_params *params, const struct cx_buf *box,
			const struct cx_excerpt *excerpt)
{
	cx_params_blob(params, box->p, box->len);
	cx_params_number(params, (int64_t)(excerpt->cut ? ~excerpt->bytes : excerpt->bytes));
}

static int put(struct cx_store *store, const struct cx_params *params, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, PUT, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_params(stmt, params); /* the bounds find no place */
	return cx_store_run(store, stmt, "keep a command's end", err);
}

static int bound(struct cx_store *store, struct cx_str sandbox, uint64_t kept, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, BOUND, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_text(stmt, 1, sandbox.p, (int)sandbox.len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 2, (int64_t)kept);
	return cx_store_run(store, stmt, "forget ends of commands", err);
}

static int sweep(struct cx_store *store, const struct cx_params *params, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SWEEP, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, cx_wall_ms() - (int64_t)params->at[FOR_MS].number);
	(void)sqlite3_bind_int64(stmt, 2, (int64_t)params->at[KEPT_ALL].number);
	return cx_store_run(store, stmt, "forget old ends of commands", err);
}

int cx_store_exec_run(struct cx_store *store, const struct cx_params *params, struct cx_err *err)
{
	if (params->n != PARAMS)
		return cx_refuse(err, CX_CONFLICT, "a command's end of %u parts", params->n);
	if (put(store, params, err) < 0)
		return -err->errnum;
	if (params->at[ENDED].number > 0 &&
	    bound(store, params->at[SANDBOX].bytes, params->at[KEPT].number, err) < 0)
		return -err->errnum;
	return ++store->exec_puts % SWEEP_EVERY == 0 ? sweep(store, params, err) : 0;
}

typedef int write_params(struct cx_store *store, const struct cx_params *params,
			 struct cx_err *err);

static int put_by(struct cx_store *store, const struct cx_exec_row *row,
		  const struct cx_exec_bounds *bounds, write_params *write, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf command = { 0 }, out = { 0 }, errors = { 0 };
	struct cx_params params = { 0 };

	if (seal(store, row, COMMAND, row->command, strlen(row->command), &command, err) < 0 ||
	    seal(store, row, OUT, row->out.kept.p, row->out.kept.len, &out, err) < 0 ||
	    seal(store, row, ERR, row->err.kept.p, row->err.kept.len, &errors, err) < 0)
		return -err->errnum;
	cx_params_blob(&params, command.p, command.len);
	add_excerpt(&params, &out, &row->out);
	add_excerpt(&params, &errors, &row->err);
	CX_EXEC_COLUMNS(CX_PARAM)
	cx_params_number(&params, bounds->kept);
	cx_params_number(&params, bounds->for_ms);
	cx_params_number(&params, bounds->kept_all);
	return write(store, &params, err);
}

int cx_store_exec_put(struct cx_store *store, const struct cx_exec_row *row,
		      const struct cx_exec_bounds *bounds, struct cx_err *err)
{
	return put_by(store, row, bounds, cx_store_exec_run, err);
}

static int put_later(struct cx_store *store, const struct cx_params *params, struct cx_err *err)
{
	return cx_later_put(store, CX_LATER_EXEC, params, err);
}

int cx_store_exec_put_later(struct cx_store *store, const struct cx_exec_row *row,
			    const struct cx_exec_bounds *bounds, struct cx_err *err)
{
	return put_by(store, row, bounds, put_later, err);
}

int cx_store_exec_remove(struct cx_store *store, const char *sandbox, const char *id,
			 struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, REMOVE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, sandbox);
	cx_store_bind_text(stmt, 2, id);
	return cx_store_run(store, stmt, "forget a command", err);
}

int cx_store_exec_settle(struct cx_store *store, const struct cx_exec_row *end, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SETTLE, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, end->ended_ms);
	cx_store_bind_text(stmt, 2, end->reason);
	cx_store_bind_text(stmt, 3, end->result);
	return cx_store_run(store, stmt, "end commands of sandboxes that are gone", err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_columns(struct cx_store *store, sqlite3_stmt *stmt, struct cx_exec_row *row,
			struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf command = { 0 };
	int at = COLUMNS, bad = 0;

	CX_EXEC_COLUMNS(CX_READ)
	if (bad != 0)
		return cx_fail(err, ENOMEM, "read a command's end");
	if (open_sealed(store, row, stmt, COMMAND, &command, err) < 0)
		return -err->errnum;
	row->command = strndup(command.len > 0 ? command.p : "", command.len);
	return row->command != NULL ? 0 : cx_fail(err, ENOMEM, "read a command's end");
}

static int read_excerpt(struct cx_store *store, sqlite3_stmt *stmt, const struct cx_exec_row *row,
			int column, struct cx_excerpt *ret, struct cx_err *err)
{
	int64_t bytes = sqlite3_column_int64(stmt, column + 1);

	ret->cut = bytes < 0;
	ret->bytes = (uint64_t)(ret->cut ? ~bytes : bytes);
	return open_sealed(store, row, stmt, column, &ret->kept, err);
}

static int find(struct cx_store *store, const char *sandbox, const char *id,
		struct cx_exec_row *ret, struct cx_err *err)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	CX_AUTO_STMT *stmt = take(store, FIND, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, sandbox);
	cx_store_bind_text(stmt, 2, id);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW)
		return cx_store_fail(store, "look a command up", err);
	if (read_columns(store, stmt, &row, err) < 0 ||
	    read_excerpt(store, stmt, &row, OUT, &row.out, err) < 0 ||
	    read_excerpt(store, stmt, &row, ERR, &row.err, err) < 0)
		return -err->errnum;
	*ret = row;
	row = (struct cx_exec_row){ 0 };
	return 1;
}

/* What the database has is told even while it takes nothing more, as on a full disk. */
int cx_store_exec_find(struct cx_store *store, const char *sandbox, const char *id,
		       struct cx_exec_row *ret, struct cx_err *err)
{
	int r = find(store, sandbox, id, ret, err);

	if (r != 0)
		return r;
	return cx_later_run(store, err) < 0 ? -err->errnum : find(store, sandbox, id, ret, err);
}

int cx_store_exec_each(struct cx_store *store, const char *sandbox, bool running,
		       int (*each)(const struct cx_exec_row *row, void *arg, struct cx_err *err),
		       void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = NULL;
	int r = SQLITE_DONE;

	/* Only ends wait. Who asks for what runs is a gateway that starts, on a full disk, too. */
	if (running || cx_later_run(store, err) == 0)
		stmt = take(store, EACH, err);
	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, sandbox);
	(void)sqlite3_bind_int(stmt, 2, running);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };

		if (read_columns(store, stmt, &row, err) < 0 || each(&row, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list commands", err);
}
