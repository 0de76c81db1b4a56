/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/blobs.h"
#include "base/fd.h"
#include "check_main.h"

/* SHA-256 of "abc" (FIPS 180-2, appendix B.1). */
static const uint8_t abc_id[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
				    0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
				    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
				    0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
static char text[] = "abc", other[] = "abd";
static const struct cx_buf abc = { .p = text, .len = 3 }, wrong = { .p = other, .len = 3 };

static char path[] = "/tmp/caisson-blobs.XXXXXX";
static int dir;
static struct cx_blobs blobs;
static struct cx_err err;

static void begin(void)
{
	(void)strcpy(path + sizeof path - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(cx_blobs_open(&blobs, dir, &err), 0);
}

static int remove_it(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *e)
{
	unsigned *n = arg;

	(void)size;
	*n += 1;
	return cx_blob_remove(&blobs, id, e);
}

static unsigned remove_all(void)
{
	unsigned n = 0;

	ck_assert_int_eq(cx_blobs_each(&blobs, remove_it, &n, &err), 0);
	return n;
}

static void end(void)
{
	(void)remove_all();
	cx_blob_give_up(&blobs, abc_id);
	close(blobs.whole);
	close(blobs.partial);
	ck_assert_int_eq(unlinkat(dir, "blobs/sha256", AT_REMOVEDIR), 0);
	ck_assert_int_eq(unlinkat(dir, "blobs/partial", AT_REMOVEDIR), 0);
	ck_assert_int_eq(unlinkat(dir, "blobs", AT_REMOVEDIR), 0);
	close(dir);
	ck_assert_int_eq(rmdir(path), 0);
}

static int read_it(struct cx_buf *ret)
{
	*ret = (struct cx_buf){ .max = 100 };
	return cx_blob_read(&blobs, abc_id, ret, &err);
}

START_TEST(what_is_put_is_read)
{
	CX_AUTO(cx_buf_free) struct cx_buf got = { 0 };

	ck_assert(!cx_blob_has(&blobs, abc_id));
	ck_assert_int_eq(read_it(&got), -ENOENT);
	ck_assert_int_eq(cx_blob_put(&blobs, &abc, abc_id, &err), 0);
	ck_assert_int_eq(cx_blob_put(&blobs, &abc, abc_id, &err), 0); /* again is fine */
	ck_assert(cx_blob_has(&blobs, abc_id));
	ck_assert_int_eq(read_it(&got), 0);
	ck_assert_uint_eq(got.len, 3);
	ck_assert_mem_eq(got.p, "abc", 3);
	ck_assert_uint_eq(remove_all(), 1);
	ck_assert(!cx_blob_has(&blobs, abc_id));
}
END_TEST

START_TEST(damage_is_seen)
{
	CX_AUTO(cx_buf_free) struct cx_buf got = { 0 };

	ck_assert_int_eq(cx_blob_put(&blobs, &wrong, abc_id, &err), 0);
	ck_assert_int_lt(read_it(&got), 0);
	ck_assert_int_eq(cx_blob_put(&blobs, &abc, abc_id, &err), 0); /* and repaired */
	cx_buf_free(&got);
	ck_assert_int_eq(read_it(&got), 0);
}
END_TEST

START_TEST(a_download_goes_on_and_arrives)
{
	CX_AUTO(cx_buf_free) struct cx_buf got = { 0 };
	uint64_t size = 9;
	int fd;

	ck_assert_int_eq(cx_blob_resume(&blobs, abc_id, &fd, &size, &err), 0);
	ck_assert_uint_eq(size, 0);
	ck_assert_int_eq(cx_write_all(fd, "ab", 2, &err), 0);
	close(fd);
	ck_assert(!cx_blob_has(&blobs, abc_id));
	ck_assert_int_eq(cx_blob_resume(&blobs, abc_id, &fd, &size, &err), 0);
	ck_assert_uint_eq(size, 2);
	ck_assert_int_eq(pwrite(fd, "c", 1, 2), 1);
	close(fd);
	ck_assert_int_eq(cx_blob_arrived(&blobs, abc_id, &err), 0);
	ck_assert_int_eq(read_it(&got), 0);
}
END_TEST

static int give_up(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *e)
{
	uint64_t *bytes = arg;

	(void)e;
	*bytes += size;
	cx_blob_give_up(&blobs, id);
	return 0;
}

START_TEST(downloads_are_listed_and_given_up)
{
	uint64_t bytes = 0, size;
	int fd;

	ck_assert_int_eq(cx_blob_put(&blobs, &abc, abc_id, &err), 0);
	ck_assert_int_eq(cx_blob_resume(&blobs, abc_id, &fd, &size, &err), 0);
	ck_assert_int_eq(cx_write_all(fd, "ab", 2, &err), 0);
	close(fd);
	ck_assert_int_eq(cx_blobs_each_partial(&blobs, give_up, &bytes, &err), 0);
	ck_assert_uint_eq(bytes, 2);
	ck_assert(cx_blob_has(&blobs, abc_id));
	ck_assert_int_eq(cx_blobs_each_partial(&blobs, give_up, &bytes, &err), 0);
	ck_assert_uint_eq(bytes, 2);
}
END_TEST

START_TEST(a_start_forgets_downloads_and_nothing_else)
{
	struct cx_blobs again;
	uint64_t size = 9;
	int fd;

	ck_assert_int_eq(cx_blob_put(&blobs, &abc, abc_id, &err), 0);
	ck_assert_int_eq(cx_blob_resume(&blobs, abc_id, &fd, &size, &err), 0);
	ck_assert_int_eq(cx_write_all(fd, "ab", 2, &err), 0);
	close(fd);
	ck_assert_int_eq(cx_blobs_open(&again, dir, &err), 0);
	close(again.whole);
	close(again.partial);
	ck_assert(cx_blob_has(&blobs, abc_id));
	ck_assert_int_eq(cx_blob_resume(&blobs, abc_id, &fd, &size, &err), 0);
	ck_assert_uint_eq(size, 0);
	close(fd);
}
END_TEST

START_TEST(what_is_held_is_told)
{
	uint8_t ids[2][32] = { { 1 }, { 2 } };
	struct cx_blob_hold one = { .ids = ids, .n = 1 }, both = { .ids = ids, .n = 2 };

	ck_assert(!cx_blob_held(&blobs, ids[0]));
	cx_blobs_hold(&blobs, &one);
	cx_blobs_hold(&blobs, &both);
	ck_assert(cx_blob_held(&blobs, ids[1]));
	ck_assert(both.wanted && !one.wanted);
	cx_blobs_let_go(&blobs, &both);
	cx_blobs_let_go(&blobs, &both);
	ck_assert(!cx_blob_held(&blobs, ids[1]));
	ck_assert(cx_blob_held(&blobs, ids[0]) && one.wanted);
	cx_blobs_let_go(&blobs, &one);
	ck_assert(!cx_blob_held(&blobs, ids[0]));
}
END_TEST

START_TEST(free_space_is_told)
{
	uint64_t bytes = 0;

	ck_assert_int_eq(cx_blobs_free_bytes(&blobs, &bytes, &err), 0);
	ck_assert_uint_gt(bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/blobs");
	TCase *tc = tcase_create("blobs");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, what_is_put_is_read);
	tcase_add_test(tc, damage_is_seen);
	tcase_add_test(tc, a_download_goes_on_and_arrives);
	tcase_add_test(tc, downloads_are_listed_and_given_up);
	tcase_add_test(tc, a_start_forgets_downloads_and_nothing_else);
	tcase_add_test(tc, what_is_held_is_told);
	tcase_add_test(tc, free_space_is_told);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
