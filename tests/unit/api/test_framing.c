/* SPDX-License-Identifier: Apache-2.0 */
#include "api/framing.h"

#include <string.h>

#include "base/cleanup.h"
#include "check_main.h"

static const struct {
	enum cx_framing_kind kind;
	uint64_t length;
	const char *bytes;
	size_t taken;
	bool done, broken;
} bodies[] = {
	{ CX_FRAMED_EMPTY, 0, "more", 0, true, false },
	{ CX_FRAMED_LENGTH, 0, "more", 0, true, false },
	{ CX_FRAMED_LENGTH, 3, "ab", 2, false, false },
	{ CX_FRAMED_LENGTH, 3, "abcmore", 3, true, false },
	{ CX_FRAMED_TO_END, 0, "anything", 8, false, false },
	{ CX_FRAMED_CHUNKS, 0, "0\r\n\r\nmore", 5, true, false },
	{ CX_FRAMED_CHUNKS, 0, "3\r\nabc\r\n0\r\n\r\nGET", 13, true, false },
	{ CX_FRAMED_CHUNKS, 0, "A;x=\"y\"\r\n0123456789\r\n00\r\n\r\n", 27, true, false },
	{ CX_FRAMED_CHUNKS, 0, "0\r\nA: b\r\nC: d\r\n\r\nmore", 17, true, false },
	{ CX_FRAMED_CHUNKS, 0, "3\r\nab", 5, false, false },
	{ CX_FRAMED_CHUNKS, 0, "\r\n", 0, false, true },
	{ CX_FRAMED_CHUNKS, 0, "x\r\n", 0, false, true },
	{ CX_FRAMED_CHUNKS, 0, "-1\r\n", 0, false, true },
	{ CX_FRAMED_CHUNKS, 0, "0x3\r\nabc", 1, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3 \r\nabc", 1, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3\nabc\n0\n\n", 1, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3\r\nabcd\r\n", 6, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3\r\nabc\n", 6, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3\rabc\r\n", 2, false, true },
	{ CX_FRAMED_CHUNKS, 0, "0\r\n\rx", 4, false, true },
	{ CX_FRAMED_CHUNKS, 0, "0\r\nA: b\n\r\n", 7, false, true },
	{ CX_FRAMED_CHUNKS, 0, "3;\x01\r\nabc", 2, false, true },
	{ CX_FRAMED_CHUNKS, 0, "fffffffffffffff\r\n", 17, false, false },
	{ CX_FRAMED_CHUNKS, 0, "1000000000000000\r\n", 15, false, true },
};

START_TEST(a_body_ends_where_it_ends)
{
	size_t len = strlen(bodies[_i].bytes);

	/* However it is cut, the same comes out. */
	for (size_t piece = 1; piece <= len; piece++) {
		struct cx_framing f = cx_framing_of(bodies[_i].kind, bodies[_i].length);
		size_t taken = 0, n = 1;

		for (size_t at = 0; at < len && n > 0; at += n) {
			n = cx_framing_take(&f, bodies[_i].bytes + at,
					    piece < len - at ? piece : len - at);
			taken += n;
		}
		ck_assert_uint_eq(taken, bodies[_i].taken);
		ck_assert(f.done == bodies[_i].done);
		ck_assert(f.broken == bodies[_i].broken);
	}
}
END_TEST

START_TEST(what_has_no_end_is_refused)
{
	static const char *const begins[] = { "3;", "0\r\nA: ", "0\r\n" };
	static char much[2 * CX_FRAMING_EXTRA_MAX];
	struct cx_framing f = cx_framing_of(CX_FRAMED_CHUNKS, 0);

	memset(much, 'a', sizeof much);
	for (size_t i = 2; _i == 2 && i + 3 < sizeof much; i += 4)
		memcpy(much + i, ":\r\n", 3); /* many fields */
	(void)cx_framing_take(&f, begins[_i], strlen(begins[_i]));
	ck_assert(!f.broken);
	ck_assert_uint_lt(cx_framing_take(&f, much, sizeof much), sizeof much);
	ck_assert(f.broken);
}
END_TEST

START_TEST(trailers_can_be_unwanted)
{
	struct cx_framing f = cx_framing_of(CX_FRAMED_CHUNKS, 0);

	f.no_trailers = true;
	ck_assert_uint_eq(cx_framing_take(&f, "0\r\nA: b\r\n\r\n", 11), 3);
	ck_assert(f.broken);
	f = cx_framing_of(CX_FRAMED_CHUNKS, 0);
	f.no_trailers = true;
	ck_assert_uint_eq(cx_framing_take(&f, "1\r\na\r\n0\r\n\r\n", 11), 11);
	ck_assert(f.done);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/framing");
	TCase *tc = tcase_create("framing");

	tcase_add_loop_test(tc, a_body_ends_where_it_ends, 0, CX_LEN(bodies));
	tcase_add_loop_test(tc, what_has_no_end_is_refused, 0, 3);
	tcase_add_test(tc, trailers_can_be_unwanted);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
