/* SPDX-License-Identifier: Apache-2.0 */
/* What sqlite does for a question about many records: how far it steps, not how long it takes. */
#include <sqlite3.h>
#include <string.h>

#include "check_main.h"

#include "api/accounts_store.h"
#include "api/store.h"
#include "api/store_inner.h"

enum {
	RECORDS = 10000,
	ERRORS = (RECORDS + 2) / 3,
	COUNT_STEPS_MAX = 500,
	PAGES_MAX = 200,  /* all records fill more than a thousand */
	STEPS_MAX = 5000, /* of sqlite's machine; to look at every record it needs 30,000 */
};

static char dir[] = "/tmp/caisson-plans-XXXXXX";
static struct cx_store *store;

static char *text(const char *word, unsigned i)
{
	char *made = NULL;

	ck_assert_int_gt(asprintf(&made, "%s%u", word, i), 0);
	return made;
}

static void insert(unsigned i)
{
	bool rare = i == RECORDS / 2;
	struct cx_sandbox_row row = { .id = text("id", i),
				      .name = text("name", i),
				      .idempotency_key = text("key", i),
				      .status = strdup(rare	    ? "RUNNING"
						       : i % 3 == 0 ? "ERROR"
								    : "TERMINATED"),
				      .labels = strdup("[\"a\"]"),
				      .image_name = strdup("debian:latest"),
				      .team_id = strdup(rare ? "team" : "other"),
				      .user_id = strdup(rare ? "rare" : "me"),
				      .cpu_cores = 1,
				      .exit_code = -1 };
	struct cx_err err;

	ck_assert_int_eq(cx_store_sandbox_insert(store, &row, &err), 0);
	cx_sandbox_row_clear(&row);
}

/* Of all statements since the last call. */
static int steps(void)
{
	int n = 0;

	for (sqlite3_stmt *stmt = sqlite3_next_stmt(store->db, NULL); stmt != NULL;
	     stmt = sqlite3_next_stmt(store->db, stmt))
		n += sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
	return n;
}

static void fill(void)
{
	struct cx_err err = { 0 };

	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(cx_store_exec(store, "BEGIN", "begin", &err), 0);
	for (unsigned i = 0; i < RECORDS; i++)
		insert(i);
	ck_assert_int_eq(cx_store_exec(store, "COMMIT", "commit", &err), 0);
	ck_assert_int_eq(cx_store_exec(store,
				       "INSERT INTO users SELECT 'member', 'member', NULL, 'user',"
				       " -1, 0, 0, -1, -1, -1, -1, 0;"
				       "INSERT INTO teams VALUES ('team', 'team', 0), ('other',"
				       " 'other', 0);"
				       "INSERT INTO members VALUES ('team', 'member', 'member'),"
				       " ('other', 'member', 'member');",
				       "members", &err),
			 0);
	(void)steps();
}

static void empty(void)
{
	cx_store_close(store);
	(void)unlink("state.db");
	(void)unlink("state.db-wal");
	(void)unlink("state.db-shm");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int count_row(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	(void)row;
	(void)err;
	++*(int *)arg;
	return 0;
}

START_TEST(one_record_is_found_without_a_walk)
{
	struct cx_sandbox_row row = { 0 };
	struct cx_err err;

	ck_assert_int_eq(cx_store_sandbox_by_id(store, "id4711", &row, &err), 1);
	cx_sandbox_row_clear(&row);
	ck_assert_int_lt(steps(), STEPS_MAX);
	ck_assert_int_eq(cx_store_sandbox_by_key(store, "me", "key4711", &row, &err), 1);
	cx_sandbox_row_clear(&row);
	ck_assert_int_lt(steps(), STEPS_MAX);
	ck_assert_int_eq(cx_store_sandbox_by_name(store, NULL, "name4711", &row, &err), 1);
	cx_sandbox_row_clear(&row);
	ck_assert_int_lt(steps(), STEPS_MAX);
	ck_assert_int_eq(cx_store_sandbox_by_name(store, "me", "name4711", &row, &err), 1);
	cx_sandbox_row_clear(&row);
	ck_assert_int_lt(steps(), STEPS_MAX);
}
END_TEST

static const struct {
	const char *what;
	struct cx_sandbox_filter filter;
	int rows; /* of the page */
	int all;
} lists[] = {
	{ "the newest", { .limit = 10 }, 10, RECORDS },
	{ "all that live", { .live_only = true, .limit = 10 }, 1, 1 },
	{ "of a frequent status", { .status = "ERROR", .limit = 10 }, 10, ERRORS },
	{ "of a rare status", { .status = "RUNNING", .limit = 10 }, 1, 1 },
	{ "of a status that nobody has", { .status = "PAUSED", .limit = 10 }, 0, 0 },
	{ "of a team", { .team_id = "team", .limit = 10 }, 1, 1 },
	{ "of a large team", { .team_id = "other", .limit = 10 }, 10, RECORDS - 1 },
	{ "of a user", { .user_id = "rare", .limit = 10 }, 1, 1 },
	{ "of a user with many", { .user_id = "me", .limit = 10 }, 10, RECORDS - 1 },
	{ "what lives of a user with many", { .user_id = "me", .live_only = true }, 0, 0 },
	{ "of a user with many, of one status",
	  { .user_id = "me", .status = "ERROR", .limit = 10 },
	  10,
	  ERRORS },
	{ "with labels", { .labels = "[\"a\"]", .limit = 10 }, 10, RECORDS },
	{ "with labels that nobody has", { .labels = "[\"b\"]", .live_only = true }, 0, 0 },
	{ "as its owner sees it", { .viewer = "rare", .limit = 10 }, 1, 1 },
	{ "what lives, as its owner sees it", { .viewer = "rare", .live_only = true }, 1, 1 },
	{ "as an owner of many sees it", { .viewer = "me", .limit = 10 }, 10, RECORDS - 1 },
	{ "what lives, as an owner of many sees it", { .viewer = "me", .live_only = true }, 0, 0 },
	{ "as a member of teams sees it", { .viewer = "member", .limit = 10 }, 10, RECORDS },
	{ "the second page of that",
	  { .viewer = "member", .limit = 10, .offset = 10 },
	  10,
	  RECORDS },
};

START_TEST(a_page_is_found_without_a_walk)
{
	struct cx_err err;

	for (size_t i = 0; i < CX_LEN(lists); i++) {
		int rows = 0, n;

		ck_assert_int_eq(
			cx_store_sandbox_each(store, &lists[i].filter, count_row, &rows, &err), 0);
		n = steps();
		ck_assert_msg(n < STEPS_MAX, "%s: %d steps", lists[i].what, n);
		ck_assert_msg(rows == lists[i].rows, "%s: %d rows", lists[i].what, rows);
	}
}
END_TEST

/* How many there are is not counted when it is asked. */
START_TEST(a_count_is_known)
{
	struct cx_err err;

	for (size_t i = 0; i < CX_LEN(lists); i++) {
		int64_t all = -1;
		int n;

		ck_assert_int_eq(cx_store_sandbox_count(store, &lists[i].filter, &all, &err), 0);
		n = steps();
		ck_assert_msg(n < COUNT_STEPS_MAX, "%s: %d steps", lists[i].what, n);
		ck_assert_msg(all == lists[i].all, "%s: %lld", lists[i].what, (long long)all);
	}
}
END_TEST

/* The last page is found in an index, whose entries are short. */
START_TEST(a_far_page_is_found_in_an_index)
{
	static const struct cx_sandbox_filter far[] = {
		{ .limit = 10, .offset = RECORDS - 20 },
		{ .user_id = "me", .limit = 10, .offset = RECORDS - 20 },
	};
	struct cx_err err;

	for (size_t i = 0; i < CX_LEN(far); i++) {
		int rows = 0, missed = 0, most = 0;

		ck_assert_int_eq(cx_store_sandbox_each(store, &far[i], count_row, &rows, &err), 0);
		ck_assert_int_eq(rows, 10);
		(void)sqlite3_db_status(store->db, SQLITE_DBSTATUS_CACHE_MISS, &missed, &most, 1);
		ck_assert_int_eq(cx_store_sandbox_each(store, &far[i], count_row, &rows, &err), 0);
		(void)sqlite3_db_status(store->db, SQLITE_DBSTATUS_CACHE_MISS, &missed, &most, 1);
		ck_assert_msg(missed < PAGES_MAX, "%d pages", missed);
	}
}
END_TEST

/* It is asked before each of their creations. */
START_TEST(what_a_user_has_is_found_among_what_lives)
{
	struct cx_user_usage usage;
	struct cx_err err;

	ck_assert_int_eq(cx_store_user_usage(store, "me", 0, &usage, &err), 0);
	ck_assert_int_eq(usage.sandboxes, 0);
	ck_assert_int_lt(steps(), COUNT_STEPS_MAX);
	ck_assert_int_eq(cx_store_user_usage(store, "rare", 0, &usage, &err), 0);
	ck_assert_int_eq(usage.sandboxes, 1);
}
END_TEST

static int64_t ask(const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t n;

	ck_assert_int_eq(sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return n;
}

static void expect_tally(const char *after)
{
	int64_t wrong = ask("SELECT count(*) FROM (SELECT * FROM (SELECT status, user_id, team_id,"
			    " labels, count(*) FROM sandboxes WHERE id IS NOT NULL"
			    " GROUP BY 1, 2, 3, 4) EXCEPT SELECT * FROM tally)");

	ck_assert_msg(wrong == 0, "%s: %d counts are wrong", after, (int)wrong);
	wrong = ask("SELECT (SELECT count(*) FROM sandboxes WHERE id IS NOT NULL)"
		    " - (SELECT sum(n) FROM tally)");
	ck_assert_msg(wrong == 0, "%s: %d are not counted", after, (int)wrong);
}

/* All that becomes of a record, also one that no client has seen, and in a change that fails. */
START_TEST(counts_follow_each_change)
{
	struct cx_sandbox_row row = { .name = text("new", 1),
				      .status = strdup("PROVISIONING"),
				      .user_id = strdup("new") };
	struct cx_err err;

	expect_tally("the beginning");
	ck_assert_int_eq(cx_store_sandbox_insert(store, &row, &err), 0);
	expect_tally("a record without an id");
	row.id = strdup("new");
	row.engine_id = strdup("new");
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	expect_tally("its id");
	free(row.status);
	row.status = strdup("RUNNING");
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	expect_tally("its status");
	ck_assert_int_eq(cx_store_exec(store, "BEGIN; DELETE FROM sandboxes; ROLLBACK", "x", &err),
			 0);
	expect_tally("what did not happen");
	ck_assert_int_eq(cx_store_sandbox_remove(store, row.row, &err), 0);
	expect_tally("its end");
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(cx_store_sandbox_prune(store, 5, &err), 0);
	expect_tally("the end of the oldest");
	ck_assert_int_eq(ask("SELECT count(*) FROM tally WHERE n <= 0"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/plans");
	TCase *tc = tcase_create("plans");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, fill, empty);
	tcase_add_test(tc, one_record_is_found_without_a_walk);
	tcase_add_test(tc, a_page_is_found_without_a_walk);
	tcase_add_test(tc, a_count_is_known);
	tcase_add_test(tc, a_far_page_is_found_in_an_index);
	tcase_add_test(tc, what_a_user_has_is_found_among_what_lives);
	tcase_add_test(tc, counts_follow_each_change);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
