/* SPDX-License-Identifier: Apache-2.0 */
#include "image/outfile.h"

#include <fcntl.h>

#include "entry_text.h"

enum { BLOCK = CX_OUTFILE_BLOCK, GATHER = CX_OUTFILE_GATHER, FILE_MAX = 4 << 20 };

static struct cx_outfile out;
static struct cx_err err;
static int file = -1;
static char want[FILE_MAX], got[FILE_MAX];

static void begin(void)
{
	file = new_file(NULL, 0);
	cx_outfile_init(&out, file);
	memset(want, 0, sizeof want);
}

static void end(void)
{
	(void)close(file);
}

/* Bytes that tell where they belong. */
static void put(uint64_t at, size_t len, unsigned salt)
{
	static char data[GATHER];

	for (size_t i = 0; i < len; i++)
		data[i] = (char)((at + i) * 31 + salt);
	memcpy(want + at, data, len);
	ck_assert_int_eq(cx_outfile_put(&out, at, data, len, &err), 0);
}

static void check_file(void)
{
	struct cx_buf content;

	ck_assert_int_eq(cx_outfile_flush(&out, &err), 0);
	content = content_of(file);
	ck_assert_uint_le(content.len, FILE_MAX);
	ck_assert_mem_eq(content.p, want, content.len);
	memset(got, 0, FILE_MAX - content.len);
	ck_assert_mem_eq(want + content.len, got, FILE_MAX - content.len);
	cx_buf_free(&content);
}

/* From where the last piece ended: gaps around a block, in pieces around the buffer. */
static const struct {
	size_t gap, len;
} pieces[] = { { 0, 1 },	 { 0, 4095 },	{ 1, 100 }, { BLOCK - 1, 7 },  { BLOCK, 9 },
	       { BLOCK + 1, 9 }, { 0, GATHER }, { 0, 1 },   { 0, GATHER - 1 }, { 100, GATHER - 9 },
	       { 100000, 50 },	 { 5, 0 },	{ 0, 1 },   { 3, GATHER - 4 }, { 2, GATHER - 1 } };

START_TEST(in_order)
{
	uint64_t at = (uint64_t)_i;

	for (size_t i = 0; i < CX_LEN(pieces); i++) {
		at += pieces[i].gap;
		put(at, pieces[i].len, 1);
		at += pieces[i].len;
	}
	check_file();
}
END_TEST

START_TEST(backwards)
{
	for (int i = 9; i >= 0; i--)
		put((uint64_t)i * 10000, 3000, 1);
	check_file();
}
END_TEST

START_TEST(two_in_one_file)
{
	struct cx_outfile other;

	cx_outfile_init(&other, file);
	for (unsigned i = 0; i < 400; i += 2) {
		put((uint64_t)i * BLOCK, 3000, 1);
		memset(want + (size_t)(i + 1) * BLOCK, 'o', BLOCK);
		ck_assert_int_eq(cx_outfile_put(&other, (uint64_t)(i + 1) * BLOCK,
						want + (size_t)(i + 1) * BLOCK, BLOCK, &err),
				 0);
	}
	ck_assert_int_eq(cx_outfile_flush(&other, &err), 0);
	check_file();
}
END_TEST

START_TEST(read_what_was_put)
{
	static const struct {
		size_t at, len;
	} reads[] = { { 0, 10 },	 { 0, GATHER }, { GATHER - 5, 10 },    { GATHER + 10, 20 },
		      { GATHER - 1, 1 }, { GATHER, 1 }, { 2 * GATHER - 1, 1 }, { GATHER, GATHER } };

	put(0, GATHER, 1);
	put(GATHER, GATHER, 1);
	ck_assert_int_eq(cx_outfile_read(&out, reads[_i].at, got, reads[_i].len, &err), 0);
	ck_assert_mem_eq(got, want + reads[_i].at, reads[_i].len);
	put(2 * (uint64_t)GATHER, 10, 1);
	check_file();
}
END_TEST

START_TEST(behind_the_end_is_zero)
{
	memset(got, 'x', 100);
	put(0, 10, 1);
	ck_assert_int_eq(cx_outfile_read(&out, 0, got, 100, &err), 0);
	ck_assert_mem_eq(got, want, 100);
}
END_TEST

START_TEST(patch)
{
	put(0, GATHER, 1);
	put(GATHER, 100, 1);
	memset(want + 50, 'p', 4);
	ck_assert_int_eq(cx_outfile_patch(&out, 50, "pppp", 4, &err), 0); /* written */
	put(GATHER + 100, 100, 1);
	memset(want + GATHER + 150, 'p', 4);
	ck_assert_int_eq(cx_outfile_patch(&out, GATHER + 150, "pppp", 4, &err), 0); /* gathered */
	put(GATHER + 200, 100, 1);
	check_file();
}
END_TEST

/* What was cut off reads as zeros, written or not. */
START_TEST(cut)
{
	static const size_t at[] = { 0, 1, BLOCK, GATHER - 1, GATHER, GATHER + 1, 2 * GATHER };

	put(0, GATHER, 1);
	put(GATHER, GATHER, 1);
	put(2 * (uint64_t)GATHER, 10, 1);
	ck_assert_int_eq(cx_outfile_cut(&out, at[_i], &err), 0);
	memset(want + at[_i], 0, FILE_MAX - at[_i]);
	put(at[_i] + 3 * (uint64_t)BLOCK, 5, 7);
	check_file();
}
END_TEST

START_TEST(nowhere_to_write)
{
	(void)close(file);
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cx_outfile_init(&out, file);
	ck_assert_int_eq(cx_outfile_put(&out, 0, "x", 1, &err), 0);
	ck_assert_int_lt(cx_outfile_flush(&out, &err), 0);
	ck_assert_int_ne(err.errnum, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outfile");
	TCase *tc = tcase_create("outfile");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, in_order, 0, 3);
	tcase_add_test(tc, backwards);
	tcase_add_test(tc, two_in_one_file);
	tcase_add_loop_test(tc, read_what_was_put, 0, 8);
	tcase_add_test(tc, behind_the_end_is_zero);
	tcase_add_test(tc, patch);
	tcase_add_loop_test(tc, cut, 0, 7);
	tcase_add_test(tc, nowhere_to_write);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
