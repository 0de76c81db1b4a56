/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "check_main.h"

static char top[64], dir[80], ours[80], theirs[80];
static struct cx_err err;

static void setup(void)
{
	strcpy(top, "/tmp/caisson-ids-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	(void)snprintf(dir, sizeof dir, "%s/ids", top);
	(void)snprintf(ours, sizeof ours, "%s/run1", top);
	(void)snprintf(theirs, sizeof theirs, "%s/run2", top);
	ck_assert_int_eq(mkdir(ours, 0700), 0);
	ck_assert_int_eq(mkdir(theirs, 0700), 0);
}

static void teardown(void)
{
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
}

static unsigned refusals; /* of so many calls */

/* In place of libc's. */
int unlinkat(int fd, const char *name, int flags)
{
	if (refusals > 0) {
		refusals--;
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

static void open_ids(struct cx_ids *ids, uint32_t count)
{
	ck_assert_int_eq(cx_ids_open(dir, 524288, count, ids, &err), 0);
}

START_TEST(instances_never_share_a_range)
{
	CX_AUTO(cx_ids_close) struct cx_ids a, b;
	uint32_t seen[8], base;

	open_ids(&a, 8);
	open_ids(&b, 8);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(cx_ids_reserve(i % 2 ? &a : &b, ours, &seen[i], &err), 0);
		ck_assert_uint_eq(seen[i] % CX_ID_RANGE, 0);
		for (unsigned j = 0; j < i; j++)
			ck_assert_uint_ne(seen[i], seen[j]);
	}
	ck_assert_int_lt(cx_ids_reserve(&a, ours, &base, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	cx_ids_release(&b, seen[3]);
	ck_assert_int_eq(cx_ids_reserve(&a, ours, &base, &err), 0);
	ck_assert_uint_eq(base, seen[3]);
}
END_TEST

START_TEST(a_released_range_is_not_used_again_at_once)
{
	CX_AUTO(cx_ids_close) struct cx_ids ids;
	uint32_t first, second;

	open_ids(&ids, 8);
	ck_assert_int_eq(cx_ids_reserve(&ids, ours, &first, &err), 0);
	cx_ids_release(&ids, first);
	ck_assert_int_eq(cx_ids_reserve(&ids, ours, &second, &err), 0);
	ck_assert_uint_ne(first, second);
}
END_TEST

START_TEST(want_at_the_moment_of_a_release_loses_nothing)
{
	CX_AUTO(cx_ids_close) struct cx_ids ids;
	uint32_t base;

	open_ids(&ids, 1);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(cx_ids_reserve(&ids, ours, &base, &err), 0);
		refusals = 1;
		cx_ids_release(&ids, base);
		ck_assert_uint_eq(refusals, 0);
	}
}
END_TEST

static int keep_none(uint32_t base, const char *owner, void *arg)
{
	(void)base;
	(void)owner;
	(void)arg;
	return 0;
}

static int keep_one(uint32_t base, const char *owner, void *arg)
{
	(void)owner;
	return base == *(uint32_t *)arg;
}

START_TEST(reclaims_what_has_no_owner)
{
	CX_AUTO(cx_ids_close) struct cx_ids ids;
	uint32_t kept, lost, live, dead;
	char gone[160];

	open_ids(&ids, 8);
	(void)snprintf(gone, sizeof gone, "%s/sandboxes/gone", theirs);
	ck_assert_int_eq(cx_ids_reserve(&ids, ours, &kept, &err), 0);
	ck_assert_int_eq(cx_ids_reserve(&ids, ours, &lost, &err), 0);
	ck_assert_int_eq(cx_ids_reserve(&ids, theirs, &live, &err), 0);
	ck_assert_int_eq(cx_ids_reserve(&ids, gone, &dead, &err), 0);
	ck_assert_int_eq(cx_ids_reclaim(&ids, ours, keep_one, &kept, &err), 2);
	ck_assert_int_eq(cx_ids_reclaim(&ids, ours, keep_one, &kept, &err), 0);
	ck_assert_int_eq(cx_ids_reclaim(&ids, ours, keep_none, NULL, &err), 1);
	ck_assert_int_eq(rmdir(theirs), 0);
	ck_assert_int_eq(cx_ids_reclaim(&ids, ours, keep_none, NULL, &err), 1);
}
END_TEST

/* The longest owner is told whole; what nobody of ours has made is left alone. */
START_TEST(any_owner_is_told)
{
	CX_AUTO(cx_ids_close) struct cx_ids ids;
	char owner[CX_ID_OWNER_MAX + 1];
	uint32_t base;

	open_ids(&ids, 8);
	memset(owner, 'x', sizeof owner);
	owner[0] = '/';
	owner[CX_ID_OWNER_MAX] = '\0';
	ck_assert_int_lt(cx_ids_reserve(&ids, owner, &base, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	owner[CX_ID_OWNER_MAX - 1] = '\0';
	ck_assert_int_eq(cx_ids_reserve(&ids, owner, &base, &err), 0);
	ck_assert_int_eq(mknodat(ids.dir, "1073741824", S_IFREG | 0600, 0), 0);
	ck_assert_int_eq(symlinkat(ours, ids.dir, "owner"), 0);
	ck_assert_int_eq(cx_ids_reclaim(&ids, ours, keep_none, NULL, &err), 1);
	ck_assert_int_eq(faccessat(ids.dir, "1073741824", F_OK, 0), 0);
}
END_TEST

START_TEST(a_directory_open_to_others_is_refused)
{
	struct cx_ids ids;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_lt(cx_ids_open(dir, 524288, 8, &ids, &err), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/ids");
	TCase *tc = tcase_create("ids");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, instances_never_share_a_range);
	tcase_add_test(tc, a_released_range_is_not_used_again_at_once);
	tcase_add_test(tc, want_at_the_moment_of_a_release_loses_nothing);
	tcase_add_test(tc, reclaims_what_has_no_owner);
	tcase_add_test(tc, any_owner_is_told);
	tcase_add_test(tc, a_directory_open_to_others_is_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
