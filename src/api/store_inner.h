/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_STORE_INNER_H
#define CX_API_STORE_INNER_H

#include <sqlite3.h>
#include <string.h>

#include "api/keyfile.h"
#include "base/err.h"

/*
 * The inside of the store, for the files that are its door to sqlite3: schema.c, store.c
 * (sandboxes, images), list_store.c, accounts_store.c, sealed_store.c, network_store.c,
 * ssh_store.c, exposure_store.c, event_store.c, exec_store.c, later.c, checkpoint.c and
 * walfile.c. All others use their headers.
 */
#define CX_STORE_LIVE "('PENDING', 'PROVISIONING', 'RUNNING', 'PAUSED')"

/* Of a row: whether a user may see it. */
#define CX_STORE_VISIBLE(user) \
	" (user_id = " user " OR team_id IN (SELECT team_id FROM members WHERE user_id = " user "))"

enum { CX_STORE_STATEMENTS_MAX = 64 }; /* of each file */

struct cx_checkpoint;
struct cx_later;
struct cx_params;
struct cx_walfile;

struct cx_store {
	sqlite3 *db;
	sqlite3_stmt *stmts[CX_STORE_STATEMENTS_MAX]; /* store.c's */
	sqlite3_stmt *accounts[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *sealed[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *networks[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *ssh[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *exposures[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *events[CX_STORE_STATEMENTS_MAX];
	sqlite3_stmt *execs[CX_STORE_STATEMENTS_MAX];
	unsigned exec_puts; /* of exec_store.c */
	uint8_t exec_key[CX_KEYFILE_BYTES];
	struct cx_walfile *walfile;
	struct cx_later *later;		  /* NULL: rows do not wait */
	struct cx_checkpoint *checkpoint; /* NULL: sqlite does it when it likes */
	/* list_store.c's, the first two by filter */
	sqlite3_stmt *lists[CX_STORE_STATEMENTS_MAX], *counts[CX_STORE_STATEMENTS_MAX], *statuses;
};

/* Brings an older schema up to date. */
CX_MUST int cx_store_migrate(struct cx_store *store, struct cx_err *err);
/* Begins to count the records: list_store.c. */
CX_MUST int cx_store_tally(struct cx_store *store, struct cx_err *err);

/* What sqlite says is wrong; what exists already is CX_CONFLICT. Returns -errno. */
int cx_store_fail(struct cx_store *store, const char *what, struct cx_err *err);
CX_MUST int cx_store_exec(struct cx_store *store, const char *sql, const char *what,
			  struct cx_err *err);
/* A ready statement without bindings; NULL when it cannot be prepared. */
sqlite3_stmt *cx_store_take(struct cx_store *store, sqlite3_stmt **slot, const char *sql,
			    struct cx_err *err);
/* For a statement that gives no rows. */
CX_MUST int cx_store_run(struct cx_store *store, sqlite3_stmt *stmt, const char *what,
			 struct cx_err *err);
CX_MUST int cx_store_copy_text(sqlite3_stmt *stmt, int at, char **ret);
/* Of a statement that gives one number. */
CX_MUST int cx_store_read_count(struct cx_store *store, sqlite3_stmt *stmt, int64_t *ret,
				struct cx_err *err);
/* Of a statement that gives the columns CX_STORE_SANDBOX. */
struct cx_sandbox_row;
CX_MUST int cx_store_read_sandbox(sqlite3_stmt *stmt, struct cx_sandbox_row *row,
				  struct cx_err *err);

static inline void cx_store_reset(sqlite3_stmt **stmt)
{
	(void)sqlite3_reset(*stmt); /* NULL is fine */
	if (*stmt != NULL)
		(void)sqlite3_clear_bindings(*stmt);
}
#define CX_AUTO_STMT CX_AUTO(cx_store_reset) sqlite3_stmt

static inline void cx_store_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	(void)sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC); /* NULL binds NULL */
}

/* What later.c writes when its time has come. */
void cx_store_bind_params(sqlite3_stmt *stmt, const struct cx_params *params);
CX_MUST int cx_store_audit_run(struct cx_store *store, const struct cx_params *params,
			       struct cx_err *err);
CX_MUST int cx_store_exec_run(struct cx_store *store, const struct cx_params *params,
			      struct cx_err *err);

/* Lists of columns: parts of statements, and what binds and reads a row by its list. */
#define CX_SQL_NAME(type, name) ", " #name
#define CX_STORE_SANDBOX	"row" CX_SANDBOX_COLUMNS(CX_SQL_NAME)
#define CX_SQL_HOLE(type, name) ", ?"
#define CX_SQL_SET(type, name)	", " #name "=?"

#define CX_BIND_text(name)    cx_store_bind_text(stmt, at++, row->name);
#define CX_BIND_real(name)    (void)sqlite3_bind_double(stmt, at++, row->name);
#define CX_BIND_integer(name) (void)sqlite3_bind_int64(stmt, at++, row->name);
#define CX_BIND(type, name)   CX_BIND_##type(name)

#define CX_PARAM_text(name)    cx_params_text(&params, row->name);
#define CX_PARAM_integer(name) cx_params_number(&params, row->name);
#define CX_PARAM(type, name)   CX_PARAM_##type(name)

#define CX_READ_text(name)    bad |= cx_store_copy_text(stmt, at++, &row->name);
#define CX_READ_real(name)    row->name = sqlite3_column_double(stmt, at++);
#define CX_READ_integer(name) row->name = sqlite3_column_int64(stmt, at++);
#define CX_READ(type, name)   CX_READ_##type(name)

#define CX_CLEAR_text(name)    cx_freep(&row->name);
#define CX_CLEAR_real(name)    row->name = 0;
#define CX_CLEAR_integer(name) row->name = 0;
#define CX_CLEAR(type, name)   CX_CLEAR_##type(name)

#endif
