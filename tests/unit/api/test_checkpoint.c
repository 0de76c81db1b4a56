/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

#include "api/checkpoint.h"
#include "api/later.h"
#include "api/store.h"
#include "api/store_inner.h"

enum { PAGE = 4096 };

static char dir[] = "/tmp/caisson-checkpoint-XXXXXX";
static struct cx_loop loop;
static struct cx_store *store;

static void set_up(void)
{
	struct cx_err err = { 0 };

	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(cx_checkpoint_open(store, &loop, &err), 0);
	ck_assert_int_eq(cx_store_exec(store, "CREATE TABLE pages (page BLOB)", "test", &err), 0);
}

static void tear_down(void)
{
	cx_store_close(store);
	cx_loop_close(&loop);
	(void)unlink("state.db");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* A transaction of at least so many pages that nothing else has had. */
static void write_pages(int n)
{
	struct cx_err err = { 0 };
	char sql[256];

	(void)snprintf(sql, sizeof sql,
		       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE"
		       " i < %d) INSERT INTO pages SELECT zeroblob(%d) FROM n",
		       n, PAGE - 200); /* one for each page */
	ck_assert_msg(cx_store_exec(store, sql, "test", &err) == 0, "%s", err.msg);
}

/* Of what has its place already. */
static off_t pages_in_place(void)
{
	struct stat st;

	ck_assert_int_eq(stat("state.db", &st), 0);
	return st.st_size / PAGE;
}

START_TEST(when_nobody_writes_any_more)
{
	struct cx_timer *timer;
	uint64_t due_ms;

	write_pages(CX_CHECKPOINT_PAGES);
	timer = loop.timers;
	ck_assert_ptr_nonnull(timer);
	due_ms = timer->due_ms;
	ck_assert_uint_le(due_ms, cx_now_ms() + CX_CHECKPOINT_QUIET_MS);
	ck_assert_uint_gt(due_ms, cx_now_ms() + CX_LATER_MS / 2);
	(void)usleep(2000);
	write_pages(1);
	ck_assert_uint_gt(timer->due_ms, due_ms);
	ck_assert_int_lt(pages_in_place(), CX_CHECKPOINT_PAGES);
	cx_timer_clear(timer);
	timer->fire(timer);
	ck_assert_int_gt(pages_in_place(), CX_CHECKPOINT_PAGES);
	ck_assert_ptr_null(loop.timers);
}
END_TEST

/* The pages of the file are used again from the first on. */
START_TEST(a_few_are_not_worth_it)
{
	write_pages(CX_CHECKPOINT_PAGES / 4);
	ck_assert_ptr_null(loop.timers);
	write_pages(CX_CHECKPOINT_PAGES);
	loop.timers->fire(loop.timers);
	cx_timer_clear(loop.timers);
	write_pages(1);
	ck_assert_ptr_null(loop.timers);
}
END_TEST

START_TEST(at_the_latest)
{
	off_t before;

	write_pages(CX_CHECKPOINT_PAGES_MAX - CX_CHECKPOINT_PAGES);
	before = pages_in_place();
	ck_assert_int_lt(before, CX_CHECKPOINT_PAGES);
	write_pages(CX_CHECKPOINT_PAGES);
	ck_assert_int_gt(pages_in_place(), CX_CHECKPOINT_PAGES_MAX);
}
END_TEST

/* It needs the pages where they are; later they go to their places. */
START_TEST(a_reader_is_not_waited_for)
{
	sqlite3_stmt *stmt;

	write_pages(1);
	ck_assert_int_eq(sqlite3_prepare_v2(store->db, "SELECT page FROM pages", -1, &stmt, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	write_pages(CX_CHECKPOINT_PAGES_MAX);
	(void)sqlite3_finalize(stmt);
	write_pages(1);
	ck_assert_int_gt(pages_in_place(), CX_CHECKPOINT_PAGES_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("checkpoint");
	TCase *tc = tcase_create("checkpoint");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, when_nobody_writes_any_more);
	tcase_add_test(tc, a_few_are_not_worth_it);
	tcase_add_test(tc, at_the_latest);
	tcase_add_test(tc, a_reader_is_not_waited_for);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
