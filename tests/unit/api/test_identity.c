/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <string.h>

#include "check_main.h"

#include "api/accounts_store.h"
#include "api/budget.h"
#include "api/identity.h"
#include "base/loop.h"

static char dir[] = "/tmp/caisson-identity-XXXXXX";
static struct cx_auth auth;
static struct cx_err err;
static struct cx_caller caller;
static char text[CX_KEY_CHARS + 1];
static bool known; /* the account is there */

static void set_up(void)
{
	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_ge(sodium_init(), 0);
	auth = (struct cx_auth){ 0 };
	known = false;
	cx_token_key_new(&auth.tokens);
	ck_assert_msg(cx_store_open("state.db", &auth.accounts, &err) == 0, "%s", err.msg);
}

static void tear_down(void)
{
	cx_store_close(auth.accounts);
	(void)unlink("state.db");
	(void)unlink("state.db-wal");
	(void)unlink("state.db-shm");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void put_user(const char *role, bool disabled)
{
	struct cx_user_row row = { .id = strdup("u1"),
				   .name = strdup("ann"),
				   .role = strdup(role),
				   .unix_uid = 12345,
				   .disabled = disabled,
				   .max_sandboxes = 1,
				   .max_cpu_cores = 2,
				   .max_memory_gb = -1,
				   .max_core_hours = 1 };

	if (cx_store_user_update(auth.accounts, &row, &err) == 0 && !known)
		ck_assert_int_eq(cx_store_user_insert(auth.accounts, &row, &err), 0);
	known = true;
	cx_user_row_clear(&row);
}

static void put_key(int64_t expires_ms, int64_t revoked_ms)
{
	char id[] = "k1", user[] = "u1", prefix[] = "cxk_";
	struct cx_key_row row = { .id = id,
				  .user_id = user,
				  .prefix = prefix,
				  .expires_ms = expires_ms,
				  .revoked_ms = revoked_ms };
	uint8_t hash[32];

	cx_key_make(text);
	cx_key_hash(text, hash);
	ck_assert_int_eq(cx_store_key_insert(auth.accounts, &row, hash, &err), 0);
}

static int ask(const char *key)
{
	char header[8 + CX_TOKEN_MAX] = "Bearer ";

	(void)strcat(header, key);
	return cx_identify(&auth, header, NULL, &caller, &err);
}

START_TEST(keys_are_long_and_never_the_same)
{
	char other[CX_KEY_CHARS + 1];

	cx_key_make(text);
	cx_key_make(other);
	ck_assert_uint_eq(strlen(text), CX_KEY_CHARS);
	ck_assert_int_eq(strncmp(text, CX_KEY_PREFIX, 4), 0);
	ck_assert_str_ne(text, other);
}
END_TEST

START_TEST(a_key_is_its_account)
{
	struct cx_key_row key = { 0 };

	put_user("user", false);
	put_key(0, 0);
	ck_assert_int_eq(ask(text), 0);
	ck_assert_str_eq(caller.user, "u1");
	ck_assert_str_eq(caller.key, "k1");
	ck_assert(!caller.admin);
	ck_assert_int_eq(cx_store_key_by_id(auth.accounts, "k1", &key, &err), 1);
	ck_assert_int_ge(key.used_ms, cx_wall_ms() - 10000);
	cx_key_row_clear(&key);
	text[20] ^= 1;
	ck_assert_int_lt(ask(text), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	text[20] ^= 1;
	put_user("admin", false); /* asked anew each time */
	ck_assert_int_eq(ask(text), 0);
	ck_assert(caller.admin);
	put_user("user", true);
	ck_assert_int_lt(ask(text), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	ck_assert_str_eq(caller.user, "");
}
END_TEST

START_TEST(a_key_ends)
{
	put_user("user", false);
	put_key(_i == 0 ? cx_wall_ms() - 1 : 0, _i == 1 ? 1 : 0);
	ck_assert_int_eq(ask(text), _i < 2 ? -EPERM : 0);
}
END_TEST

START_TEST(the_socket_knows_its_caller)
{
	uid_t root = 0, own = geteuid(), ann = 12345, bob = 12346;

	ck_assert_int_eq(cx_identify(&auth, NULL, &root, &caller, &err), 0);
	ck_assert(caller.admin);
	ck_assert_int_eq(cx_identify(&auth, NULL, &own, &caller, &err), 0);
	ck_assert(caller.admin);
	ck_assert_int_lt(cx_identify(&auth, NULL, &ann, &caller, &err), 0);
	put_user("user", false);
	ck_assert_int_eq(cx_identify(&auth, NULL, &ann, &caller, &err), 0);
	ck_assert_str_eq(caller.user, "u1");
	ck_assert(!caller.admin);
	ck_assert_int_lt(cx_identify(&auth, NULL, &bob, &caller, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "--uid 12346"));
	ck_assert_int_lt(cx_identify(&auth, "Bearer x", &root, &caller, &err), 0);
	ck_assert_int_lt(cx_identify(&auth, NULL, NULL, &caller, &err), 0);
}
END_TEST

static void put_sandbox(int64_t started_ms)
{
	struct cx_sandbox_row row = { .id = strdup("abc"),
				      .name = strdup("n"),
				      .status = strdup("RUNNING"),
				      .user_id = strdup("u1"),
				      .cpu_cores = 1,
				      .started_ms = started_ms };

	ck_assert_int_eq(cx_store_sandbox_insert(auth.accounts, &row, &err), 0);
	cx_sandbox_row_clear(&row);
}

START_TEST(a_token_is_worth_what_its_owner_is)
{
	char token[CX_TOKEN_MAX + 1];

	put_user("user", false);
	put_sandbox(0);
	cx_token_make(&auth.tokens, "abc", cx_wall_ms() + 60000, token);
	ck_assert_int_eq(ask(token), 0);
	ck_assert_str_eq(caller.sandbox, "abc");
	ck_assert_str_eq(caller.user, "");
	put_user("user", true);
	ck_assert_int_lt(ask(token), 0);
}
END_TEST

START_TEST(budgets_hold)
{
	char id[] = "u1";
	struct cx_sandbox_row row = { .user_id = id, .cpu_cores = 2, .memory_gb = 1000 };

	put_user("user", false);
	ck_assert_int_eq(cx_budget_check(auth.accounts, &row, &err), 0);
	row.cpu_cores = 2.5;
	ck_assert_int_lt(cx_budget_check(auth.accounts, &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_BUSY);
	ck_assert_ptr_nonnull(strstr(err.msg, "cores"));
	row.cpu_cores = 1;
	put_sandbox(cx_wall_ms() - 1000);
	ck_assert_int_lt(cx_budget_check(auth.accounts, &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_BUSY);
	ck_assert_ptr_nonnull(strstr(err.msg, "2 sandboxes"));
}
END_TEST

START_TEST(core_hours_are_used_up)
{
	char id[] = "u1";
	struct cx_sandbox_row row = { .user_id = id };

	put_user("user", false);
	put_sandbox(cx_wall_ms() - 3601 * 1000);
	ck_assert_int_lt(cx_budget_check(auth.accounts, &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_SPENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/identity");
	TCase *tc = tcase_create("identity");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, keys_are_long_and_never_the_same);
	tcase_add_test(tc, a_key_is_its_account);
	tcase_add_loop_test(tc, a_key_ends, 0, 3);
	tcase_add_test(tc, the_socket_knows_its_caller);
	tcase_add_test(tc, a_token_is_worth_what_its_owner_is);
	tcase_add_test(tc, budgets_hold);
	tcase_add_test(tc, core_hours_are_used_up);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
