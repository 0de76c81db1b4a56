/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "api/event_store.h"
#include "api/store.h"
#include "base/buf.h"

static struct cx_store *store;
static struct cx_err err;
static struct cx_sandbox_row row;
static char seen[512];
static unsigned nseen;

static void set_up(void)
{
	ck_assert_msg(cx_store_open(":memory:", &store, &err) == 0, "%s", err.msg);
}

static void tear_down(void)
{
	cx_sandbox_row_clear(&row);
	cx_store_close(store);
}

/* A row of its own for each sandbox; `row` is the newest one. */
static void insert(const char *id, const char *status)
{
	cx_sandbox_row_clear(&row);
	row.id = id != NULL ? strdup(id) : NULL;
	row.name = strdup("name");
	row.status = strdup(status);
	row.user_id = strdup("me");
	row.exit_code = -1;
	ck_assert_msg(cx_store_sandbox_insert(store, &row, &err) == 0, "%s", err.msg);
}

static void become(const char *status)
{
	free(row.status);
	row.status = strdup(status);
	ck_assert_msg(cx_store_sandbox_update(store, &row, &err) == 0, "%s", err.msg);
}

static int see(const struct cx_event_row *e, void *arg, struct cx_err *e_err)
{
	(void)arg;
	(void)e_err;
	(void)snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%lld %s %s\n",
		       (long long)e->seq, e->id, e->status);
	ck_assert_str_eq(e->user_id, "me");
	nseen++;
	return 0;
}

static const char *list(int64_t after, int64_t last, bool living, int64_t limit)
{
	const struct cx_event_range range = {
		.after = after, .last = last, .living = living, .limit = limit
	};

	seen[0] = '\0';
	nseen = 0;
	ck_assert_msg(cx_store_event_each(store, &range, see, NULL, &err) == 0, "%s", err.msg);
	return seen;
}

START_TEST(each_change_is_there_once_and_in_order)
{
	int64_t last = 7;

	ck_assert_int_eq(cx_store_event_last(store, &last, &err), 0);
	ck_assert_int_eq(last, 0);
	insert("a", "PENDING");
	become("PENDING"); /* no change */
	become("RUNNING");
	row.active_ms = 7;
	become("RUNNING");
	become("TERMINATED");
	ck_assert_str_eq(list(0, INT64_MAX, false, 99),
			 "1 a PENDING\n2 a RUNNING\n3 a TERMINATED\n");
	ck_assert_str_eq(list(1, INT64_MAX, false, 1), "2 a RUNNING\n");
	ck_assert_str_eq(list(0, 1, false, 99), "1 a PENDING\n");
	ck_assert_int_eq(cx_store_event_last(store, &last, &err), 0);
	ck_assert_int_eq(last, 3);
}
END_TEST

/* It has one when somebody may know of it. */
START_TEST(without_an_id_there_is_none)
{
	insert(NULL, "PROVISIONING");
	ck_assert_str_eq(list(0, INT64_MAX, false, 99), "");
	row.id = strdup("a");
	become("PROVISIONING");
	become("RUNNING");
	ck_assert_str_eq(list(0, INT64_MAX, false, 99), "1 a PROVISIONING\n2 a RUNNING\n");
}
END_TEST

START_TEST(what_lives_is_told_by_its_last)
{
	insert("a", "RUNNING");
	become("PAUSED");
	insert("b", "RUNNING");
	insert("c", "RUNNING");
	become("ERROR");
	ck_assert_str_eq(list(0, 5, true, 99), "2 a PAUSED\n3 b RUNNING\n");
	ck_assert_str_eq(list(2, 5, true, 99), "3 b RUNNING\n");
	ck_assert_str_eq(list(0, 4, true, 99), "2 a PAUSED\n3 b RUNNING\n4 c RUNNING\n");
	ck_assert_str_eq(list(0, 1, true, 99), "1 a RUNNING\n");
}
END_TEST

/* Of who pauses and resumes for ever no more is kept than of others. */
START_TEST(the_newest_are_kept_and_the_last_of_what_lives)
{
	enum { MORE = 500 };
	int64_t last = 0;

	insert("gone", "RUNNING");
	become("TERMINATED");
	insert("old", "RUNNING");
	insert("busy", "RUNNING");
	for (int i = 0; i < (CX_EVENTS_KEPT + MORE) / 2; i++) {
		become("PAUSED");
		become("RUNNING");
	}
	insert("new", "RUNNING");
	become("TERMINATED");
	ck_assert_int_eq(cx_store_event_last(store, &last, &err), 0);
	ck_assert_int_eq(last, CX_EVENTS_KEPT + MORE + 6);
	ck_assert_str_eq(list(0, MORE, false, 99), "3 old RUNNING\n");
	ck_assert_str_eq(list(last - 2, last, false, 99),
			 "20505 new RUNNING\n20506 new TERMINATED\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("event_store");
	TCase *tc = tcase_create("events");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, each_change_is_there_once_and_in_order);
	tcase_add_test(tc, without_an_id_there_is_none);
	tcase_add_test(tc, what_lives_is_told_by_its_last);
	tcase_add_test(tc, the_newest_are_kept_and_the_last_of_what_lives);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
