/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of SSH, and the sessions that let their holders in. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

#include "api/ssh_store.h"

#define BLOB "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

static char dir[64];
static int dirfd;
static struct cx_store *store;
static struct cx_err err;

static void setup(void)
{
	(void)strcpy(dir, "/tmp/caisson-ssh-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd, 0);
	ck_assert_int_eq(cx_store_open("state.db", &store, &err), 0);
}

static void teardown(void)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm",
					     "ssh_host.key" };

	cx_store_close(store);
	for (size_t i = 0; i < CX_LEN(names); i++)
		(void)unlinkat(dirfd, names[i], 0);
	close(dirfd);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(the_host_key_is_made_once)
{
	struct cx_ssh_host_key first, second;
	struct stat st;

	ck_assert_int_eq(cx_ssh_host_key_load(dirfd, &first, &err), 0);
	ck_assert_int_eq(cx_ssh_host_key_load(dirfd, &second, &err), 0);
	ck_assert_mem_eq(first.raw, second.raw, sizeof first.raw);
	ck_assert_str_eq(first.public, second.public);
	ck_assert_int_eq(fstatat(dirfd, "ssh_host.key", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(fchmodat(dirfd, "ssh_host.key", 0640, 0), 0);
	ck_assert_int_lt(cx_ssh_host_key_load(dirfd, &second, &err), 0);
}
END_TEST

START_TEST(what_is_shown_of_it_is_a_key)
{
	struct cx_ssh_host_key host;
	struct cx_ssh_key key;

	ck_assert_int_eq(cx_ssh_host_key_load(dirfd, &host, &err), 0);
	ck_assert_int_eq(cx_ssh_key_parse(host.public, "x", &key, &err), 0);
	ck_assert_uint_eq(key.len, 51);
	ck_assert_mem_eq(key.blob + 19, host.raw + 32, 32);
}
END_TEST

static const char *const bad_keys[] = {
	"",
	"ssh-ed25519",
	"ssh-ed25519 ",
	"ssh-ed25519 AAAA",
	"ssh-ed25519 !!!!",
	"ssh-rsa " BLOB,
	"ssh-dss " BLOB,
	"command=\"x\" ssh-ed25519 " BLOB,
	BLOB,
};

START_TEST(what_is_no_key_is_refused)
{
	struct cx_ssh_key key;

	ck_assert_int_lt(cx_ssh_key_parse(bad_keys[_i], "public_key", &key, &err), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "public_key"));
}
END_TEST

START_TEST(keys_are_compared_whole)
{
	struct cx_ssh_key key, none = { 0 };
	struct cx_str blob;

	ck_assert_int_eq(cx_ssh_key_parse("ssh-ed25519 " BLOB " who@where\n", "x", &key, &err), 0);
	blob = (struct cx_str){ .p = (const char *)key.blob, .len = key.len };
	ck_assert(cx_ssh_key_equal(&key, blob));
	blob.len--;
	ck_assert(!cx_ssh_key_equal(&key, blob));
	blob.len = 0;
	ck_assert(!cx_ssh_key_equal(&none, blob)); /* no key lets nobody in */
}
END_TEST

static struct cx_ssh_session_row session(const char *id, int64_t created_ms, int64_t expires_ms)
{
	struct cx_ssh_session_row row = { .created_ms = created_ms, .expires_ms = expires_ms };

	(void)strcpy(row.id, id);
	(void)strcpy(row.sandbox, "box");
	(void)strcpy(row.user_id, "me");
	return row;
}

START_TEST(sessions_are_kept_and_changed)
{
	struct cx_ssh_session_row row = session("one", 100, 200), got;

	ck_assert_int_eq(cx_store_ssh_insert(store, &row, &err), 0);
	ck_assert_int_lt(cx_store_ssh_insert(store, &row, &err), 0);
	ck_assert_uint_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(cx_store_ssh_get(store, "one", &got, &err), 1);
	ck_assert_str_eq(got.sandbox, "box");
	ck_assert_str_eq(got.user_id, "me");
	ck_assert_int_eq(got.expires_ms, 200);
	ck_assert_uint_eq(got.key.len, 0);
	ck_assert_int_eq(cx_ssh_key_parse("ssh-ed25519 " BLOB, "x", &row.key, &err), 0);
	row.expires_ms = 300;
	ck_assert_int_eq(cx_store_ssh_update(store, &row, &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "one", &got, &err), 1);
	ck_assert_int_eq(got.expires_ms, 300);
	ck_assert_uint_eq(got.key.len, 51);
	ck_assert_mem_eq(got.key.blob, row.key.blob, 51);
	ck_assert_int_eq(cx_store_ssh_remove(store, "one", &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "one", &got, &err), 0);
}
END_TEST

START_TEST(sessions_that_are_over_make_room)
{
	struct cx_ssh_session_row row, got;
	char id[16];

	for (int i = 0; i < CX_SSH_SESSIONS_MAX; i++) {
		(void)snprintf(id, sizeof id, "s%d", i);
		row = session(id, 100, 200 + i);
		ck_assert_int_eq(cx_store_ssh_insert(store, &row, &err), 0);
	}
	row = session("more", 199, 500);
	ck_assert_int_lt(cx_store_ssh_insert(store, &row, &err), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
	row = session("more", 200, 500);
	ck_assert_int_eq(cx_store_ssh_insert(store, &row, &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "s0", &got, &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "s1", &got, &err), 1);
}
END_TEST

START_TEST(sessions_go_with_their_sandbox)
{
	struct cx_ssh_session_row row = session("one", 100, 200), got;
	struct cx_sandbox_row box = { 0 };
	char id[] = "box", name[] = "n", status[] = "RUNNING";

	box.id = id;
	box.name = name;
	box.status = status;
	ck_assert_int_eq(cx_store_sandbox_insert(store, &box, &err), 0);
	ck_assert_int_eq(cx_store_ssh_insert(store, &row, &err), 0);
	box.updated_ms = 5;
	ck_assert_int_eq(cx_store_sandbox_update(store, &box, &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "one", &got, &err), 1);
	box.ended_ms = 6;
	ck_assert_int_eq(cx_store_sandbox_update(store, &box, &err), 0);
	ck_assert_int_eq(cx_store_ssh_get(store, "one", &got, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/ssh");
	TCase *tc = tcase_create("state");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_host_key_is_made_once);
	tcase_add_test(tc, what_is_shown_of_it_is_a_key);
	tcase_add_loop_test(tc, what_is_no_key_is_refused, 0, (int)CX_LEN(bad_keys));
	tcase_add_test(tc, keys_are_compared_whole);
	tcase_add_test(tc, sessions_are_kept_and_changed);
	tcase_add_test(tc, sessions_that_are_over_make_room);
	tcase_add_test(tc, sessions_go_with_their_sandbox);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
