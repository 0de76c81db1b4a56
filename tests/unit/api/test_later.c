/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check_main.h"

#include "api/accounts_store.h"
#include "api/exec_store.h"
#include "api/later.h"
#include "api/store_inner.h"
#include "base/fd.h"

enum { FILE_MAX = 4096, HEAD = 24 };

static char dir[] = "/tmp/caisson-later-XXXXXX";
static struct cx_loop loop;
static struct cx_store *store;

static void open_store(void)
{
	struct cx_err err = { 0 };

	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
	ck_assert_msg(cx_later_open(store, AT_FDCWD, &loop, &err) == 0, "%s", err.msg);
}

static void close_store(void)
{
	cx_store_close(store);
	store = NULL;
}

static void set_up(void)
{
	struct cx_err err = { 0 };

	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	open_store();
}

static void tear_down(void)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm", "later" };

	close_store();
	cx_loop_close(&loop);
	for (size_t i = 0; i < CX_LEN(files); i++)
		(void)unlink(files[i]);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Past the store, which has the database for itself as long as it is open. */
static sqlite3 *open_database(void)
{
	sqlite3 *db = store != NULL ? store->db : NULL;

	if (db == NULL)
		ck_assert_int_eq(sqlite3_open("state.db", &db), SQLITE_OK);
	return db;
}

static void close_database(sqlite3 *db)
{
	if (store == NULL)
		(void)sqlite3_close(db);
}

static void change(const char *sql)
{
	sqlite3 *db = open_database();

	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
		      sqlite3_errmsg(db));
	close_database(db);
}

static int in_database(const char *table)
{
	sqlite3 *db = open_database();
	sqlite3_stmt *stmt;
	char sql[64];
	int n;

	(void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	close_database(db);
	return n;
}

static off_t in_file(void)
{
	struct stat st;

	ck_assert_int_eq(stat("later", &st), 0);
	return st.st_size;
}

static void put_audit(const char *object)
{
	char action[] = "POST /x", copy[32];
	struct cx_audit_row row = { .at_ms = 1, .action = action, .object = copy, .outcome = 200 };
	struct cx_err err = { 0 };

	(void)snprintf(copy, sizeof copy, "%s", object);
	ck_assert_msg(cx_store_audit_insert(store, &row, &err) == 0, "%s", err.msg);
}

static void put_end(const char *id)
{
	static const struct cx_exec_bounds bounds = { .kept = 2, .for_ms = 1000, .kept_all = 99 };
	char sandbox[] = "box", copy[32], digest[] = "d", result[] = "{}", reason[] = "exited";
	char command[] = "true", text[] = "out";
	struct cx_exec_row row = { .sandbox_id = sandbox,
				   .id = copy,
				   .digest = digest,
				   .ended_ms = cx_wall_ms(),
				   .result = result,
				   .reason = reason,
				   .command = command,
				   .out = { .kept = { .p = text, .len = 3 }, .bytes = 3 } };
	struct cx_err err = { 0 };

	(void)snprintf(copy, sizeof copy, "%s", id);
	ck_assert_msg(cx_store_exec_put_later(store, &row, &bounds, &err) == 0, "%s", err.msg);
}

static int add_object(const struct cx_audit_row *row, void *arg, struct cx_err *err)
{
	(void)err;
	strcat(arg, row->object);
	return 0;
}

/* ---- what waits ------------------------------------------------------------------------------ */

START_TEST(rows_are_in_the_file_first)
{
	struct cx_err err = { 0 };

	put_audit("a");
	put_end("1");
	ck_assert_int_eq(in_database("audit"), 0);
	ck_assert_int_eq(in_database("execs"), 0);
	ck_assert_int_gt(in_file(), 0);
	ck_assert_int_eq(cx_later_run(store, &err), 0);
	ck_assert_int_eq(in_database("audit"), 1);
	ck_assert_int_eq(in_database("execs"), 1);
	ck_assert_int_eq(in_file(), 0);
	ck_assert_ptr_null(loop.timers);
}
END_TEST

START_TEST(the_loop_writes_them)
{
	struct cx_timer *timer;

	put_audit("a");
	timer = loop.timers;
	put_audit("b");
	ck_assert_ptr_nonnull(timer);
	ck_assert_ptr_null(timer->next);
	ck_assert_uint_le(timer->due_ms, cx_now_ms() + CX_LATER_MS);
	timer->fire(timer);
	ck_assert_int_eq(in_database("audit"), 2);
}
END_TEST

START_TEST(who_reads_sees_them)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	char seen[64] = "";
	struct cx_err err = { 0 };

	put_audit("a");
	put_audit("b");
	ck_assert_int_eq(cx_store_audit_each(store, NULL, 0, 9, add_object, seen, &err), 0);
	ck_assert_str_eq(seen, "ba");
	put_end("1");
	ck_assert_int_eq(cx_store_exec_find(store, "box", "1", &row, &err), 1);
	ck_assert_str_eq(row.command, "true");
	ck_assert_uint_eq(row.out.kept.len, 3);
	ck_assert_int_eq(memcmp(row.out.kept.p, "out", 3), 0);
	for (int i = 2; i < 6; i++)
		put_end((char[]){ (char)('0' + i), '\0' });
	ck_assert_int_eq(cx_store_exec_find(store, "box", "3", &row, &err), 0);
	ck_assert_int_eq(in_database("execs"), 2);
}
END_TEST

/* So many that the file would become too large. */
START_TEST(not_too_many_wait)
{
	for (int i = 0; i < 20000; i++)
		put_audit("some object of a usual length");
	ck_assert_int_gt(in_database("audit"), 0);
	ck_assert_int_le(in_file(), 1 << 20);
}
END_TEST

START_TEST(close_writes_them)
{
	put_audit("a");
	close_store();
	ck_assert_int_eq(in_database("audit"), 1);
	open_store();
}
END_TEST

/* ---- deaths ---------------------------------------------------------------------------------- */

START_TEST(the_next_one_begins_with_them)
{
	pid_t pid;

	close_store();
	pid = fork();
	if (pid == 0) {
		open_store();
		put_audit("a");
		put_audit("b");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(in_database("audit"), 0);
	open_store();
	ck_assert_int_eq(in_database("audit"), 2);
}
END_TEST

static ssize_t load(char *bytes)
{
	cx_autofd int fd = open("later", O_RDONLY | O_CLOEXEC);
	struct cx_err err;

	return cx_read_upto(fd, bytes, FILE_MAX, &err);
}

static void save(const char *bytes, size_t len)
{
	cx_autofd int fd = open("later", O_WRONLY | O_TRUNC | O_CLOEXEC);

	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
}

/* Killed behind the transaction, before the file was emptied. */
START_TEST(none_is_written_twice)
{
	char bytes[FILE_MAX];
	struct cx_err err = { 0 };
	ssize_t len;

	put_audit("a");
	len = load(bytes);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(cx_later_run(store, &err), 0);
	close_store();
	save(bytes, (size_t)len);
	open_store();
	ck_assert_int_eq(in_database("audit"), 1);
}
END_TEST

/* A power cut may leave any part of it; what is no whole row is none. */
START_TEST(a_file_that_is_cut)
{
	char bytes[FILE_MAX];
	ssize_t len, half;

	put_audit("a");
	half = load(bytes);
	put_audit("b");
	len = load(bytes);
	close_store();
	for (size_t i = 0; i < 9; i++) {
		ssize_t n =
			(ssize_t[]){ 0, 1, 4, half - 1, half, half + 1, half + 4, len - 1, len }[i];

		change("DELETE FROM audit; UPDATE later SET batch=0");
		save(bytes, (size_t)n);
		open_store();
		ck_assert_int_eq(in_database("audit"), (n >= half) + (n == len));
		close_store();
	}
	open_store();
}
END_TEST

START_TEST(bytes_that_are_no_rows)
{
	char bytes[FILE_MAX];
	ssize_t len;

	put_audit("a");
	len = load(bytes);
	close_store();
	for (ssize_t n = 0; n < len; n += n < HEAD ? 1 : 11) {
		change("DELETE FROM audit; UPDATE later SET batch=0");
		bytes[n] ^= 0x55;
		save(bytes, (size_t)len);
		bytes[n] ^= 0x55;
		open_store();
		ck_assert_int_le(in_database("audit"), 1);
		close_store();
	}
	open_store();
}
END_TEST

/* ---- failures -------------------------------------------------------------------------------- */

START_TEST(what_the_database_does_not_take_now)
{
	struct cx_err err = { 0 };

	put_audit("a");
	change("ALTER TABLE later RENAME TO gone");
	ck_assert_int_lt(cx_later_run(store, &err), 0);
	ck_assert_int_eq(in_database("audit"), 0);
	ck_assert_ptr_nonnull(loop.timers);
	put_audit("b");
	change("ALTER TABLE gone RENAME TO later");
	ck_assert_int_eq(cx_later_run(store, &err), 0);
	ck_assert_int_eq(in_database("audit"), 2);
}
END_TEST

/* What lies before them is of an earlier batch, or was not written whole. */
START_TEST(rows_behind_what_is_none)
{
	bool is_torn = _i == 1;
	char bytes[FILE_MAX];
	struct cx_err err = { 0 };
	ssize_t len;

	put_audit("a");
	len = load(bytes);
	close_store();
	change(is_torn ? "DELETE FROM audit; UPDATE later SET batch=0" : "DELETE FROM audit");
	change("CREATE TRIGGER no BEFORE UPDATE ON later BEGIN SELECT RAISE(ABORT, 'not now'); "
	       "END");
	save(bytes, (size_t)(is_torn ? len - 1 : len));
	open_store();
	put_audit("b");
	change("DROP TRIGGER no");
	ck_assert_int_eq(cx_later_run(store, &err), 0);
	ck_assert_int_eq(in_database("audit"), 1);
}
END_TEST

/* The descriptor of the file becomes one of a disk that is full. */
static void fill_its_disk(void)
{
	char path[32], name[PATH_MAX];
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), found = -1;

	for (int fd = 3; fd < 64 && found < 0; fd++) {
		ssize_t n;

		(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof name - 1);
		if (n < 6)
			continue;
		name[n] = '\0';
		if (strcmp(name + n - 6, "/later") == 0)
			found = fd;
	}
	ck_assert_int_ge(found, 0);
	ck_assert_int_eq(dup2(full, found), found);
	close(full);
}

START_TEST(what_the_file_does_not_take)
{
	put_audit("a");
	fill_its_disk();
	put_audit("b");
	ck_assert_int_eq(in_database("audit"), 2);
}
END_TEST

START_TEST(what_it_never_takes)
{
	struct cx_params params = { 0 };
	struct cx_err err = { 0 };

	cx_params_text(&params, "not the parts of a command's end");
	ck_assert_int_eq(cx_later_put(store, CX_LATER_EXEC, &params, &err), 0);
	put_audit("a");
	ck_assert_int_eq(cx_later_run(store, &err), 0);
	ck_assert_int_eq(in_database("audit"), 1);
	ck_assert_int_eq(in_database("execs"), 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, rows_are_in_the_file_first);
	tcase_add_test(tc, the_loop_writes_them);
	tcase_add_test(tc, who_reads_sees_them);
	tcase_add_test(tc, not_too_many_wait);
	tcase_add_test(tc, close_writes_them);
	tcase_add_test(tc, the_next_one_begins_with_them);
	tcase_add_test(tc, none_is_written_twice);
	tcase_add_test(tc, a_file_that_is_cut);
	tcase_add_test(tc, bytes_that_are_no_rows);
	tcase_add_test(tc, what_the_database_does_not_take_now);
	tcase_add_loop_test(tc, rows_behind_what_is_none, 0, 2);
	tcase_add_test(tc, what_the_file_does_not_take);
	tcase_add_test(tc, what_it_never_takes);
}

int main(void)
{
	Suite *suite = suite_create("api/later");
	TCase *tc = tcase_create("later");

	add_tests(tc);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
