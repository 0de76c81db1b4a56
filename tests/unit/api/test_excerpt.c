/* SPDX-License-Identifier: Apache-2.0 */
#include "api/excerpt.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "check_main.h"

enum { MOST = CX_EXCERPT_HEAD + CX_EXCERPT_TAIL, STREAM = 300000 };

static char stream[STREAM];
static struct cx_excerpt excerpt;

static void set_up(void)
{
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = (char)(i * 31 + i / 256);
	excerpt = (struct cx_excerpt){ 0 };
}

static void tear_down(void)
{
	cx_excerpt_clear(&excerpt);
}

static void add(uint64_t offset, size_t len)
{
	struct cx_err err = { 0 };

	ck_assert_msg(cx_excerpt_add(&excerpt, offset, stream + offset, len, &err) == 0, "%s",
		      err.msg);
}

static void expect(uint64_t ask, uint64_t from, size_t len)
{
	const char *p;
	size_t n;

	cx_excerpt_read(&excerpt, &ask, &p, &n);
	ck_assert_uint_eq(ask, from);
	ck_assert_uint_eq(n, len);
	ck_assert(len == 0 || memcmp(p, stream + from, len) == 0);
}

/* _i: the size of each piece. */
START_TEST(the_beginning_and_the_newest_stay)
{
	static const size_t sizes[] = { 1000, 4096,	CX_EXCERPT_HEAD, CX_EXCERPT_TAIL,
					MOST, MOST + 1, 100000,		 STREAM };
	uint64_t total = 0;

	expect(0, 0, 0);
	while (total < STREAM) {
		size_t n = STREAM - total < sizes[_i] ? STREAM - total : sizes[_i];

		add(total, n);
		total += n;
		ck_assert_uint_le(excerpt.kept.len, MOST);
		if (total <= MOST)
			expect(0, 0, total);
	}
	expect(0, 0, CX_EXCERPT_HEAD);
	expect(5, 5, CX_EXCERPT_HEAD - 5);
	expect(CX_EXCERPT_HEAD, STREAM - CX_EXCERPT_TAIL, CX_EXCERPT_TAIL);
	expect(STREAM - 7, STREAM - 7, 7);
	expect(STREAM, STREAM, 0);
	expect(STREAM + 9, STREAM, 0);
}
END_TEST

START_TEST(what_was_left_out_is_known)
{
	struct cx_err err = { 0 };

	add(0, CX_EXCERPT_HEAD + 100);
	add(100000, 50);
	expect(CX_EXCERPT_HEAD, 100000, 50);
	add(100050, 50);
	expect(CX_EXCERPT_HEAD, 100000, 100);
	ck_assert_int_lt(cx_excerpt_add(&excerpt, 7, stream, 1, &err), 0);
}
END_TEST

START_TEST(a_beginning_with_a_hole_is_refused)
{
	struct cx_err err = { 0 };

	add(0, 10);
	ck_assert_int_lt(cx_excerpt_add(&excerpt, 11, stream, 1, &err), 0);
	expect(0, 0, 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/excerpt");
	TCase *tc = tcase_create("excerpt");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, the_beginning_and_the_newest_stay, 0, 8);
	tcase_add_test(tc, what_was_left_out_is_known);
	tcase_add_test(tc, a_beginning_with_a_hole_is_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
