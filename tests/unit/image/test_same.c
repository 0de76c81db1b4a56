/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "check_main.h"
#include "image/same.h"

enum { LONG = (1 << 20) + 17 };

static int file_of(size_t len, size_t odd)
{
	int fd = memfd_create("same", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	if (odd < len)
		ck_assert_int_eq(pwrite(fd, "x", 1, (off_t)odd), 1);
	return fd;
}

static const struct {
	size_t len_a, odd_a, len_b, odd_b;
	const char *where; /* NULL: the same */
} pairs[] = {
	{ 0, 0, 0, 0, NULL },
	{ 5, 9, 5, 9, NULL },
	{ LONG, 3, LONG, 3, NULL },
	{ LONG, LONG - 1, LONG, LONG, "byte 1048592" },
	{ LONG, 0, LONG, LONG, "byte 0" },
	{ LONG, LONG, LONG - 1, LONG, "byte 1048592" },
	{ 1 << 20, LONG, LONG, LONG, "byte 1048576" },
	{ 0, 0, 1, 1, "byte 0" },
};

START_TEST(files_are_compared)
{
	int a = file_of(pairs[_i].len_a, pairs[_i].odd_a);
	int b = file_of(pairs[_i].len_b, pairs[_i].odd_b);
	struct cx_report report;

	ck_assert_int_eq(lseek(a, 0, SEEK_END), (off_t)pairs[_i].len_a); /* it rewinds */
	ck_assert_int_eq(cx_same_files(a, b, &report), pairs[_i].where == NULL ? 0 : -EBUSY);
	ck_assert_int_eq(report.ok, pairs[_i].where == NULL);
	if (pairs[_i].where != NULL) {
		ck_assert_uint_eq(report.err.kind, CX_CONFLICT);
		ck_assert_ptr_nonnull(strstr(report.err.msg, pairs[_i].where));
	}
	close(a);
	close(b);
}
END_TEST

START_TEST(what_cannot_be_read_is_no_difference)
{
	struct cx_report report;

	ck_assert_int_lt(cx_same_files(-1, -1, &report), 0);
	ck_assert(!report.ok);
	ck_assert_uint_ne(report.err.kind, CX_CONFLICT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("same");
	TCase *tc = tcase_create("same");

	tcase_add_loop_test(tc, files_are_compared, 0, CX_LEN(pairs));
	tcase_add_test(tc, what_cannot_be_read_is_no_difference);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
