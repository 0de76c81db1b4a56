/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <string.h>

#include "check_main.h"

#include "api/accounts_store.h"

static char dir[] = "/tmp/caisson-accounts-XXXXXX";
static struct cx_store *store;
static struct cx_err err;

static void enter_dir(void)
{
	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void set_up(void)
{
	enter_dir();
	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
}

static void tear_down(void)
{
	cx_store_close(store);
	store = NULL;
	(void)unlink("state.db");
	(void)unlink("state.db-wal");
	(void)unlink("state.db-shm");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int add_user(const char *id, const char *name, int64_t uid)
{
	struct cx_user_row row = { .id = strdup(id),
				   .name = strdup(name),
				   .role = strdup("user"),
				   .unix_uid = uid,
				   .max_sandboxes = -1,
				   .max_cpu_cores = 1.5 };
	int r = cx_store_user_insert(store, &row, &err);

	cx_user_row_clear(&row);
	return r;
}

static int add_team(const char *id, const char *name)
{
	char copy[2][32];
	struct cx_team_row row = { .id = copy[0], .name = copy[1], .created_ms = 5 };

	(void)strcpy(copy[0], id);
	(void)strcpy(copy[1], name);
	return cx_store_team_insert(store, &row, &err);
}

static int64_t add_sandbox(const char *id, const char *user, const char *team, int64_t started)
{
	struct cx_sandbox_row row = { .id = strdup(id),
				      .name = strdup("n"),
				      .status = strdup("RUNNING"),
				      .user_id = strdup(user),
				      .team_id = team != NULL ? strdup(team) : NULL,
				      .cpu_cores = 2,
				      .memory_gb = 0.5,
				      .started_ms = started };
	int64_t at;

	ck_assert_msg(cx_store_sandbox_insert(store, &row, &err) == 0, "%s", err.msg);
	at = row.row;
	cx_sandbox_row_clear(&row);
	return at;
}

static void end_sandbox(const char *id, int64_t now)
{
	struct cx_sandbox_row row = { 0 };

	ck_assert_int_eq(cx_store_sandbox_by_id(store, id, &row, &err), 1);
	free(row.status);
	row.status = strdup("TERMINATED");
	row.ended_ms = now;
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0); /* counts once */
	cx_sandbox_row_clear(&row);
}

static int64_t visible(const char *viewer)
{
	struct cx_sandbox_filter filter = { .viewer = viewer };
	int64_t total = -1;

	ck_assert_int_eq(cx_store_sandbox_count(store, &filter, &total, &err), 0);
	return total;
}

static int count_user(const struct cx_user_row *row, void *arg, struct cx_err *failed)
{
	(void)failed;
	ck_assert_ptr_nonnull(row->name);
	(*(unsigned *)arg)++;
	return 0;
}

START_TEST(users_come_back_as_they_went_in)
{
	struct cx_user_row row = { 0 };
	unsigned n = 0;

	ck_assert_int_eq(add_user("u1", "ann", 1000), 0);
	ck_assert_int_eq(add_user("u2", "bob", -1), 0);
	ck_assert_int_eq(add_user("u3", "cid", -1), 0); /* many have no uid */
	ck_assert_int_eq(cx_store_user_find(store, "ann", &row, &err), 0);
	ck_assert_str_eq(row.id, "u1");
	ck_assert_ptr_null(row.email);
	ck_assert_double_eq(row.max_cpu_cores, 1.5);
	row.disabled = 1;
	ck_assert_int_eq(cx_store_user_update(store, &row, &err), 0);
	cx_user_row_clear(&row);
	ck_assert_int_eq(cx_store_user_by_uid(store, 1000, &row, &err), 1);
	ck_assert_int_eq(row.disabled, 1);
	ck_assert_str_eq(row.role, "user");
	cx_user_row_clear(&row);
	ck_assert_int_eq(cx_store_user_by_uid(store, -1, &row, &err), 0);
	ck_assert_int_eq(cx_store_user_each(store, count_user, &n, &err), 0);
	ck_assert_uint_eq(n, 4); /* and the admin */
	ck_assert_int_eq(cx_store_user_remove(store, "u1", &err), 0);
	ck_assert_int_lt(cx_store_user_find(store, "u1", &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
}
END_TEST

START_TEST(names_and_uids_are_unique)
{
	ck_assert_int_eq(add_user("u1", "ann", 1000), 0);
	ck_assert_int_lt(add_user("u2", "ann", 1001), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_lt(add_user("u2", "bob", 1000), 0);
	ck_assert_int_lt(add_user("u2", "admin", -1), 0);
	ck_assert_int_eq(add_team("t1", "red"), 0);
	ck_assert_int_lt(add_team("t2", "red"), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
}
END_TEST

START_TEST(members_see_what_their_team_has)
{
	ck_assert_int_eq(add_user("u1", "ann", -1) + add_user("u2", "bob", -1), 0);
	ck_assert_int_eq(add_team("t1", "red"), 0);
	(void)add_sandbox("a", "u1", NULL, 0);
	(void)add_sandbox("b", "u1", "t1", 0);
	ck_assert_int_eq(cx_store_membership(store, "t1", "u2", &err), CX_MEMBER_NONE);
	ck_assert_int_eq(visible("u2"), 0);
	ck_assert_int_eq(cx_store_member_put(store, "t1", "u2", "member", &err), 0);
	ck_assert_int_eq(cx_store_membership(store, "t1", "u2", &err), CX_MEMBER);
	ck_assert_int_eq(visible("u2"), 1);
	ck_assert_int_eq(cx_store_member_put(store, "t1", "u2", "owner", &err), 0);
	ck_assert_int_eq(cx_store_membership(store, "t1", "u2", &err), CX_MEMBER_OWNER);
	ck_assert_int_eq(visible("u1"), 2);
	ck_assert_int_eq(visible(NULL), 2);
	ck_assert_int_eq(cx_store_member_remove(store, "t1", "u2", &err), 0);
	ck_assert_int_lt(cx_store_member_remove(store, "t1", "u2", &err), 0);
	ck_assert_int_eq(visible("u2"), 0);
	ck_assert_int_lt(cx_store_member_put(store, "t9", "u2", "owner", &err), 0);
}
END_TEST

static int check_team(const struct cx_team_row *row, void *arg, struct cx_err *failed)
{
	(void)failed;
	ck_assert_str_eq(row->id, "t1");
	ck_assert_str_eq(row->role, "owner");
	(*(unsigned *)arg)++;
	return 0;
}

static int check_member(const struct cx_member_row *row, void *arg, struct cx_err *failed)
{
	(void)failed;
	ck_assert_str_eq(row->name, "ann");
	ck_assert_str_eq(row->role, "owner");
	(*(unsigned *)arg)++;
	return 0;
}

START_TEST(teams_know_their_members_and_go_with_them)
{
	struct cx_team_row team = { 0 };
	unsigned n = 0;

	ck_assert_int_eq(add_user("u1", "ann", -1), 0);
	ck_assert_int_eq(add_team("t1", "red") + add_team("t2", "blue"), 0);
	ck_assert_int_eq(cx_store_member_put(store, "t1", "u1", "owner", &err), 0);
	ck_assert_int_eq(cx_store_team_each(store, "u1", check_team, &n, &err), 0);
	ck_assert_int_eq(cx_store_member_each(store, "t1", check_member, &n, &err), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(cx_store_team_find(store, "blue", &team, &err), 0);
	ck_assert_str_eq(team.id, "t2");
	cx_team_row_clear(&team);
	ck_assert_int_eq(cx_store_user_remove(store, "u1", &err), 0);
	ck_assert_int_eq(cx_store_membership(store, "t1", "u1", &err), CX_MEMBER_NONE);
	ck_assert_int_eq(cx_store_team_remove(store, "t1", &err), 0);
	ck_assert_int_lt(cx_store_team_find(store, "t1", &team, &err), 0);
}
END_TEST

START_TEST(keys_are_found_by_their_hash)
{
	char id[] = "k1", user[] = "u1", prefix[] = "cxk_0123";
	struct cx_key_row row = {
		.id = id, .user_id = user, .prefix = prefix, .created_ms = 7, .expires_ms = 9
	};
	struct cx_key_row got = { 0 };
	uint8_t hash[32] = { 1, 2, 3 }, other[32] = { 1, 2, 4 };

	ck_assert_int_lt(cx_store_key_insert(store, &row, hash, &err), 0); /* no such user */
	ck_assert_int_eq(add_user("u1", "ann", -1), 0);
	ck_assert_int_eq(cx_store_key_insert(store, &row, hash, &err), 0);
	ck_assert_int_eq(cx_store_key_by_hash(store, other, &got, &err), 0);
	ck_assert_int_eq(cx_store_key_by_hash(store, hash, &got, &err), 1);
	ck_assert_str_eq(got.user_id, "u1");
	ck_assert_int_eq(got.expires_ms, 9);
	got.revoked_ms = 11;
	ck_assert_int_eq(cx_store_key_update(store, &got, &err), 0);
	cx_key_row_clear(&got);
	ck_assert_int_eq(cx_store_key_by_id(store, "k1", &got, &err), 1);
	ck_assert_int_eq(got.revoked_ms, 11);
	ck_assert_str_eq(got.prefix, "cxk_0123");
	cx_key_row_clear(&got);
	ck_assert_int_eq(cx_store_user_remove(store, "u1", &err), 0);
	ck_assert_int_eq(cx_store_key_by_hash(store, hash, &got, &err), 0);
}
END_TEST

START_TEST(core_time_is_counted_once)
{
	struct cx_user_usage usage;

	ck_assert_int_eq(add_user("u1", "ann", -1), 0);
	(void)add_sandbox("a", "u1", NULL, 1000);
	(void)add_sandbox("b", "u1", NULL, 0); /* did not start yet */
	(void)add_sandbox("c", "admin", NULL, 1000);
	ck_assert_int_eq(cx_store_user_usage(store, "u1", 4000, &usage, &err), 0);
	ck_assert_int_eq(usage.sandboxes, 2);
	ck_assert_double_eq(usage.cpu_cores, 4);
	ck_assert_double_eq(usage.memory_gb, 1);
	ck_assert_double_eq(usage.core_ms, 6000);
	end_sandbox("a", 5000);
	end_sandbox("b", 5000);
	ck_assert_int_eq(cx_store_user_usage(store, "u1", 9000, &usage, &err), 0);
	ck_assert_int_eq(usage.sandboxes, 0);
	ck_assert_double_eq(usage.core_ms, 8000);
	ck_assert_int_eq(cx_store_user_usage(store, "nobody", 9000, &usage, &err), 0);
	ck_assert_double_eq(usage.core_ms, 0);
}
END_TEST

static int note_audit(const struct cx_audit_row *row, void *arg, struct cx_err *failed)
{
	struct cx_audit_row *last = arg;

	(void)failed;
	ck_assert_str_eq(row->action, "POST /x");
	last->row = row->row;
	last->outcome++;
	return 0;
}

START_TEST(the_audit_log_is_read_backwards)
{
	char action[] = "POST /x", user[] = "u1";
	struct cx_audit_row row = { .at_ms = 1, .action = action, .user_id = user };
	struct cx_audit_row last = { 0 };

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(cx_store_audit_insert(store, &row, &err), 0);
	row.user_id = NULL;
	ck_assert_int_eq(cx_store_audit_insert(store, &row, &err), 0);
	ck_assert_int_eq(cx_store_audit_each(store, "u1", 0, 2, note_audit, &last, &err), 0);
	ck_assert_int_eq(last.outcome, 2);
	ck_assert_int_eq(last.row, 2);
	ck_assert_int_eq(cx_store_audit_each(store, NULL, last.row, 9, note_audit, &last, &err), 0);
	ck_assert_int_eq(last.row, 1);
	ck_assert_int_eq(last.outcome, 3);
}
END_TEST

/* As the first release left it. */
static const char version_1[] =
	"CREATE TABLE sandboxes (row INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT NOT NULL,"
	" image TEXT, image_name TEXT, status TEXT NOT NULL, cpu_cores REAL NOT NULL,"
	" memory_gb REAL NOT NULL, disk_size_gb REAL NOT NULL, pids_limit INTEGER NOT NULL,"
	" timeout_minutes INTEGER NOT NULL, idle_timeout_minutes INTEGER NOT NULL,"
	" network_access INTEGER NOT NULL, network_allowlist TEXT, network_denylist TEXT,"
	" start_command TEXT, environment_vars TEXT, secret_names TEXT, labels TEXT, notices TEXT,"
	" team_id TEXT, region TEXT, idempotency_key TEXT UNIQUE, created_ms INTEGER NOT NULL,"
	" updated_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
	" exit_code INTEGER NOT NULL, error_type TEXT, error_message TEXT, log TEXT);"
	"CREATE UNIQUE INDEX live_name ON sandboxes (name) WHERE status IN ('RUNNING');"
	"CREATE INDEX any_name ON sandboxes (name);"
	"CREATE INDEX any_status ON sandboxes (status);"
	"CREATE TABLE layers (diff_id BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE images (row INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);"
	"CREATE TABLE image_layers (image INTEGER NOT NULL);"
	"INSERT INTO sandboxes VALUES (7, 'old', 'box', 'debian', 'debian:latest', 'RUNNING', 2, "
	"0.5,"
	" 5, 99, 60, 0, 1, NULL, NULL, NULL, '{}', '[\"S\"]', '[\"a\"]', '[]', NULL, NULL, 'key', "
	"1,"
	" 2, 3, 0, -1, NULL, NULL, 'text');"
	"PRAGMA user_version=1;";

START_TEST(what_the_first_release_left_becomes_an_admins)
{
	struct cx_sandbox_row row = { 0 };
	sqlite3 *db = NULL;

	enter_dir();
	ck_assert_int_eq(sqlite3_open("state.db", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, version_1, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(cx_store_sandbox_by_key(store, "admin", "key", &row, &err), 1);
	ck_assert_int_eq(row.row, 7);
	ck_assert_str_eq(row.id, "old");
	ck_assert_str_eq(row.engine_id, "old");
	ck_assert_str_eq(row.user_id, "admin");
	ck_assert_str_eq(row.labels, "[\"a\"]");
	ck_assert_str_eq(row.log, "text");
	ck_assert_int_eq(row.exit_code, -1);
	ck_assert_int_eq(row.pids_limit, 99);
	ck_assert_ptr_null(row.attributes);
	cx_sandbox_row_clear(&row);
	(void)add_sandbox("new", "admin", NULL, 0); /* names may repeat now */
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/accounts_store");
	TCase *tc = tcase_create("accounts"), *old = tcase_create("old");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, users_come_back_as_they_went_in);
	tcase_add_test(tc, names_and_uids_are_unique);
	tcase_add_test(tc, members_see_what_their_team_has);
	tcase_add_test(tc, teams_know_their_members_and_go_with_them);
	tcase_add_test(tc, keys_are_found_by_their_hash);
	tcase_add_test(tc, core_time_is_counted_once);
	tcase_add_test(tc, the_audit_log_is_read_backwards);
	tcase_add_test(old, what_the_first_release_left_becomes_an_admins);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, old);
	return run_suite(suite);
}
