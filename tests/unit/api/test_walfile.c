/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "check_main.h"

#include "api/walfile.h"
#include "base/fd.h"

enum { PAGE = 4096, FRAME = 24 + PAGE, FILE_MAX = 8 << 20 };

static char dir[] = "/tmp/caisson-walfile-XXXXXX";
static struct cx_walfile *walfile;
static sqlite3 *db;

/* ---- below: sqlite's own files, and what comes to the log's ---------------------------------- */

static sqlite3_vfs below, *real;
static const sqlite3_io_methods *own_methods;
static sqlite3_io_methods counting;
static unsigned nwrites;
static int longest, refused; /* refused: what writes fail with */

static int count_write(sqlite3_file *file, const void *p, int len, sqlite3_int64 at)
{
	nwrites++;
	longest = len > longest ? len : longest;
	return refused != SQLITE_OK ? refused : own_methods->xWrite(file, p, len, at);
}

static int open_below(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
	int r = real->xOpen(real, name, file, flags, ret);

	(void)vfs;
	if (r != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0)
		return r;
	own_methods = file->pMethods;
	counting = *own_methods;
	counting.xWrite = count_write;
	file->pMethods = &counting;
	return SQLITE_OK;
}

/* ---- a database ------------------------------------------------------------------------------ */

static int try(const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void change(const char *sql)
{
	ck_assert_msg(try(sql) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
}

static void open_database(void)
{
	ck_assert_int_eq(sqlite3_open_v2("state.db", &db,
					 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
					 cx_walfile_name(walfile)),
			 SQLITE_OK);
	change("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
	       "PRAGMA wal_autocheckpoint=0;");
}

static void set_up(void)
{
	struct cx_err err = { 0 };

	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	real = sqlite3_vfs_find(NULL);
	below = *real;
	below.zName = "below";
	below.xOpen = open_below;
	ck_assert_int_eq(sqlite3_vfs_register(&below, 1), SQLITE_OK);
	ck_assert_int_eq(cx_walfile_open(&walfile, &err), 0);
	open_database();
	change("CREATE TABLE rows (n INTEGER PRIMARY KEY, text); CREATE INDEX texts ON rows (text);"
	       "CREATE TABLE more (text); INSERT INTO rows VALUES (0, 'first')");
	nwrites = 0;
	longest = 0;
	refused = SQLITE_OK;
}

static void tear_down(void)
{
	static const char *const files[] = { "state.db", "state.db-wal", "copy.db", "copy.db-wal",
					     "copy.db-shm" };

	(void)sqlite3_close(db);
	cx_walfile_close(walfile);
	ck_assert_int_eq(sqlite3_vfs_unregister(&below), SQLITE_OK);
	ck_assert_int_eq(sqlite3_vfs_register(real, 1), SQLITE_OK);
	for (size_t i = 0; i < CX_LEN(files); i++)
		(void)unlink(files[i]);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void copy(const char *from, const char *to)
{
	static char bytes[FILE_MAX];
	struct cx_err err = { 0 };
	cx_autofd int in = open(from, O_RDONLY | O_CLOEXEC);
	cx_autofd int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = cx_read_upto(in, bytes, sizeof bytes, &err);

	ck_assert_int_ge(n, 0);
	ck_assert_int_lt(n, FILE_MAX);
	ck_assert_int_eq(cx_write_all(out, bytes, (size_t)n, &err), 0);
}

/* Of what another one finds who comes when this process has just died: how many rows, whole. */
static int survive(void)
{
	sqlite3_stmt *stmt;
	sqlite3 *other;
	int n;

	copy("state.db", "copy.db");
	copy("state.db-wal", "copy.db-wal");
	ck_assert_int_eq(sqlite3_open("copy.db", &other), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(other, "PRAGMA integrity_check", -1, &stmt, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(stmt, 0), "ok");
	(void)sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_prepare_v2(other, "SELECT count(*) FROM rows", -1, &stmt, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
	return n;
}

/* So many rows, each with a page to itself, from first on. */
#define ROWS(first, last)                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT " #first " UNION ALL SELECT i + 1 FROM n WHERE i < " #last \
	") INSERT INTO rows SELECT i, i || zeroblob(3000) FROM n;"

/* A cache of so few pages that those of a transaction are written before it ends. */
#define SMALL_CACHE "PRAGMA cache_size=10;"

/* ---- the tests ------------------------------------------------------------------------------- */

START_TEST(a_transaction_is_one_write)
{
	for (int i = 1; i < 5; i++) {
		char sql[96];

		nwrites = 0;
		(void)snprintf(sql, sizeof sql,
			       "BEGIN; INSERT INTO rows VALUES (%d, 'row'); INSERT INTO more"
			       " VALUES ('more'); COMMIT",
			       i);
		change(sql);
		ck_assert_uint_eq(nwrites, 1);
		ck_assert_int_eq(survive(), 1 + i);
	}
	ck_assert_int_eq(longest, 3 * FRAME);
}
END_TEST

/* Also the first one behind a log that begins anew, or was found. */
START_TEST(a_commit_is_in_the_file)
{
	change("PRAGMA wal_checkpoint");
	change("INSERT INTO rows VALUES (1, 'behind a checkpoint')");
	ck_assert_int_eq(survive(), 2);
	change("INSERT INTO rows VALUES (2, 'and another')");
	ck_assert_int_eq(survive(), 3);
	copy("state.db", "copy.db");
	copy("state.db-wal", "copy.db-wal");
	(void)sqlite3_close(db);
	ck_assert_int_eq(rename("copy.db", "state.db"), 0);
	ck_assert_int_eq(rename("copy.db-wal", "state.db-wal"), 0);
	open_database();
	change("INSERT INTO rows VALUES (3, 'behind what was found')");
	ck_assert_int_eq(survive(), 4);
}
END_TEST

START_TEST(much_is_written_in_parts)
{
	change("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
	       " INSERT INTO more SELECT zeroblob(3000) FROM n");
	ck_assert_int_eq(survive(), 1);
	ck_assert_uint_gt(nwrites, 300 * FRAME / (128 * 1024));
	ck_assert_uint_lt(nwrites, 300 * FRAME / (128 * 1024) + 10);
	ck_assert_int_gt(longest, 20 * FRAME);
}
END_TEST

/* Pages that leave a small cache are read and changed again, and their frames with them. */
START_TEST(what_was_written_before_the_commit_is_changed)
{
	change(SMALL_CACHE);
	for (int i = 0; i < 3; i++) {
		change("BEGIN;" ROWS(
			1, 60) "UPDATE rows SET text = n || zeroblob(2900);"
			       "UPDATE rows SET text = 'x' || text WHERE n % 3 = 0; COMMIT");
		ck_assert_int_eq(survive(), 61);
		change("DELETE FROM rows WHERE n > 0");
		ck_assert_int_eq(survive(), 1);
	}
}
END_TEST

START_TEST(what_is_taken_back_leaves_nothing)
{
	change(SMALL_CACHE);
	change("BEGIN;" ROWS(1, 60) "ROLLBACK; INSERT INTO rows VALUES (1, 'then')");
	ck_assert_int_eq(survive(), 2);
}
END_TEST

START_TEST(a_commit_that_cannot_be_written_fails)
{
	refused = SQLITE_FULL;
	ck_assert_int_eq(try("INSERT INTO rows VALUES (1, 'no room')"), SQLITE_FULL);
	ck_assert_int_eq(survive(), 1);
	refused = SQLITE_OK;
	change("INSERT INTO rows VALUES (1, 'room')");
	ck_assert_int_eq(survive(), 2);
	ck_assert_int_eq(try("INSERT INTO rows VALUES (1, 'again')"), SQLITE_CONSTRAINT);
}
END_TEST

/* Frames of it are lost: whatever failed, nothing of it may be kept. */
START_TEST(a_transaction_that_lost_frames_cannot_go_on)
{
	change(SMALL_CACHE "BEGIN;" ROWS(1, 25));
	refused = SQLITE_FULL;
	ck_assert_int_eq(try("SELECT sum(length(text)) FROM rows"), SQLITE_IOERR);
	refused = SQLITE_OK;
	ck_assert_int_ne(sqlite3_get_autocommit(db), 0);
	change("INSERT INTO rows VALUES (1, 'room')");
	ck_assert_int_eq(survive(), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("walfile");
	TCase *tc = tcase_create("walfile");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_transaction_is_one_write);
	tcase_add_test(tc, a_commit_is_in_the_file);
	tcase_add_test(tc, much_is_written_in_parts);
	tcase_add_test(tc, what_was_written_before_the_commit_is_changed);
	tcase_add_test(tc, what_is_taken_back_leaves_nothing);
	tcase_add_test(tc, a_commit_that_cannot_be_written_fails);
	tcase_add_test(tc, a_transaction_that_lost_frames_cannot_go_on);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
