/* SPDX-License-Identifier: Apache-2.0 */
/* What sqlite does for a question about many records: how far it steps, not how long it takes. */
#include <sqlite3.h>
#include <string.h>

#include "check_main.h"

#include "api/store.h"
#include "api/store_inner.h"

enum {
	RECORDS = 10000,
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
	int rows;
} lists[] = {
	{ "the newest", { .limit = 10 }, 10 },
	{ "all that live", { .live_only = true, .limit = 10 }, 1 },
	{ "of a frequent status", { .status = "ERROR", .limit = 10 }, 10 },
	{ "of a rare status", { .status = "RUNNING", .limit = 10 }, 1 },
	{ "of a status that nobody has", { .status = "PAUSED", .limit = 10 }, 0 },
	{ "of a team", { .team_id = "team", .limit = 10 }, 1 },
	{ "of a user", { .user_id = "rare", .limit = 10 }, 1 },
	{ "with labels", { .labels = "[\"a\"]", .limit = 10 }, 10 },
	{ "as its owner sees it", { .viewer = "rare", .limit = 10 }, 1 },
	{ "what lives, as its owner sees it", { .viewer = "rare", .live_only = true }, 1 },
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

int main(void)
{
	Suite *suite = suite_create("api/plans");
	TCase *tc = tcase_create("plans");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, fill, empty);
	tcase_add_test(tc, one_record_is_found_without_a_walk);
	tcase_add_test(tc, a_page_is_found_without_a_walk);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
