/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

#include "api/seal.h"

static char dir[] = "/tmp/caisson-seal-XXXXXX";
static struct cx_store *store;
static int here;
static struct cx_seal seal;
static struct cx_err err;
static const char value[] = "very secret value";

static void open_all(void)
{
	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
	ck_assert_msg(cx_seal_open(&seal, here, store, &err) == 0, "%s", err.msg);
}

static void close_all(void)
{
	cx_store_close(store);
	store = NULL;
}

static void set_up(void)
{
	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_ge(sodium_init(), 0);
	here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(here, 0);
	(void)umask(0);
}

static void tear_down(void)
{
	static const char *const files[] = { "state.db",   "state.db-wal",    "state.db-shm",
					     "secret.key", "secret.key.next", "k" };

	close_all();
	cx_close(&here);
	for (size_t i = 0; i < CX_LEN(files); i++)
		(void)unlink(files[i]);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int64_t put_sandbox(const char *name)
{
	struct cx_sandbox_row row = { .id = strdup(name),
				      .name = strdup(name),
				      .status = strdup("PENDING") };
	int64_t at;

	ck_assert_int_eq(cx_store_sandbox_insert(store, &row, &err), 0);
	at = row.row;
	cx_sandbox_row_clear(&row);
	return at;
}

static void put(int64_t sandbox)
{
	char copy[sizeof value];
	struct cx_buf plain = { .p = copy, .len = sizeof copy };

	memcpy(copy, value, sizeof copy);
	ck_assert_int_eq(cx_seal_put(&seal, store, sandbox, &plain, &err), 0);
}

/* 1: there and right; 0: not there; < 0: it does not open. */
static int get(int64_t sandbox)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf plain = { .max = 1000 };
	int found = cx_seal_get(&seal, store, sandbox, &plain, &err);

	if (found == 1)
		ck_assert(plain.len == sizeof value && memcmp(plain.p, value, plain.len) == 0);
	return found;
}

static bool file_has(const char *name, const char *what)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = 1 << 22 };
	cx_autofd int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_ptr_nonnull(cx_buf_reserve(&text, (size_t)st.st_size + 1, &err));
	ck_assert_int_eq(read(fd, text.p, (size_t)st.st_size), st.st_size);
	return memmem(text.p, (size_t)st.st_size, what, strlen(what)) != NULL;
}

START_TEST(a_key_file_is_made_once_for_us_alone)
{
	uint8_t first[CX_KEYFILE_BYTES], second[CX_KEYFILE_BYTES];
	struct stat st;

	ck_assert_int_eq(cx_keyfile_read(here, "k", first, &err), 0);
	ck_assert_int_eq(cx_keyfile_load(here, "k", first, &err), 0);
	ck_assert_int_eq(stat("k", &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(cx_keyfile_load(here, "k", second, &err), 0);
	ck_assert_int_eq(memcmp(first, second, sizeof first), 0);
	ck_assert_int_eq(chmod("k", 0640), 0);
	ck_assert_int_lt(cx_keyfile_load(here, "k", second, &err), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	ck_assert_int_eq(chmod("k", 0600), 0);
	ck_assert_int_eq(truncate("k", 20), 0);
	ck_assert_int_lt(cx_keyfile_load(here, "k", second, &err), 0);
	ck_assert_int_eq(unlink("k"), 0);
	ck_assert_int_eq(symlink("state.db", "k"), 0);
	ck_assert_int_lt(cx_keyfile_load(here, "k", second, &err), 0);
}
END_TEST

START_TEST(what_is_sealed_opens_for_its_sandbox)
{
	CX_AUTO(cx_buf_free) struct cx_buf box = { .max = 1000 };
	int64_t one, two;

	open_all();
	one = put_sandbox("one");
	two = put_sandbox("two");
	ck_assert_int_eq(get(one), 0);
	put(one);
	ck_assert_int_eq(get(one), 1);
	ck_assert_int_eq(cx_store_sealed_get(store, one, &box, &err), 1);
	ck_assert_int_eq(cx_store_sealed_put(store, two, &box, &err), 0);
	ck_assert_int_lt(get(two), 0); /* as if somebody had moved it in the database */
	box.p[30] ^= 1;
	ck_assert_int_eq(cx_store_sealed_put(store, one, &box, &err), 0);
	ck_assert_int_lt(get(one), 0);
	box.len = 30;
	ck_assert_int_eq(cx_store_sealed_put(store, one, &box, &err), 0);
	ck_assert_int_lt(get(one), 0);
	close_all();
	ck_assert(!file_has("state.db", value) && !file_has("state.db-wal", value));
}
END_TEST

START_TEST(what_is_sealed_goes_with_its_sandbox)
{
	struct cx_sandbox_row row = { 0 };
	int64_t one, two, three;

	open_all();
	one = put_sandbox("one");
	two = put_sandbox("two");
	three = put_sandbox("three");
	put(one);
	put(two);
	put(three);
	ck_assert_int_eq(cx_store_sandbox_by_id(store, "one", &row, &err), 1);
	row.ended_ms = 5;
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(cx_store_sandbox_remove(store, two, &err), 0);
	ck_assert_int_eq(cx_store_sealed_remove(store, three, &err), 0);
	ck_assert_int_eq(get(one) + get(two) + get(three), 0);
}
END_TEST

START_TEST(keys_are_changed)
{
	struct cx_seal before;
	int64_t one, two;

	open_all();
	one = put_sandbox("one");
	two = put_sandbox("two");
	put(one);
	put(two);
	before = seal;
	ck_assert_int_eq(cx_seal_rotate(&seal, store, &err), 2);
	ck_assert(memcmp(before.key, seal.key, sizeof seal.key) != 0);
	ck_assert_int_eq(get(one) + get(two), 2);
	ck_assert_int_lt(access("secret.key.next", F_OK), 0);
	close_all();
	open_all(); /* the next gateway has the new key */
	ck_assert_int_eq(get(one) + get(two), 2);
	seal = before;
	ck_assert_int_lt(get(one), 0);
	ck_assert_int_lt(cx_seal_rotate(&seal, store, &err), 0); /* all or nothing */
	ck_assert_int_lt(access("secret.key.next", F_OK), 0);
	close_all();
	open_all();
	ck_assert_int_eq(get(one) + get(two), 2);
}
END_TEST

/* 0: the power went before the database changed; 1: after it, before the files did. */
START_TEST(a_change_that_is_cut_short_is_ended)
{
	uint8_t key[CX_KEYFILE_BYTES];
	int64_t one;

	open_all();
	one = put_sandbox("one");
	put(one);
	if (_i == 0) {
		ck_assert_int_eq(cx_keyfile_make(here, "secret.key.next", key, &err), 0);
	} else {
		ck_assert_int_eq(rename("secret.key", "k"), 0);
		ck_assert_int_eq(cx_seal_rotate(&seal, store, &err), 1);
		ck_assert_int_eq(rename("secret.key", "secret.key.next"), 0);
		ck_assert_int_eq(rename("k", "secret.key"), 0);
	}
	close_all();
	open_all();
	ck_assert_int_eq(get(one), 1);
	ck_assert_int_lt(access("secret.key.next", F_OK), 0);
	ck_assert_int_eq(cx_keyfile_read(here, "secret.key", key, &err), 1);
	ck_assert_int_eq(memcmp(key, seal.key, sizeof key), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/seal");
	TCase *tc = tcase_create("seal");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_key_file_is_made_once_for_us_alone);
	tcase_add_test(tc, what_is_sealed_opens_for_its_sandbox);
	tcase_add_test(tc, what_is_sealed_goes_with_its_sandbox);
	tcase_add_test(tc, keys_are_changed);
	tcase_add_loop_test(tc, a_change_that_is_cut_short_is_ended, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
