/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "check_main.h"
#include "cli/sum.h"

/* FIPS 180-2: nothing, "abc", a million times "a". */
static const struct {
	const char *part, *sum;
	size_t times;
} known[] = {
	{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0 },
	{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1 },
	{ "aaaaaaaaaaaaaaaaaaaa",
	  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 50000 },
};

/* Little is expected, and much: both ways come to the same. */
static const uint64_t expected[] = { 0, UINT64_MAX };

START_TEST(sums_are_known)
{
	for (size_t way = 0; way < CX_LEN(expected); way++) {
		struct cx_sum sum;
		uint8_t got[32];
		char hex[65];

		cx_sum_begin(&sum, expected[way]);
		/* It is among what a build needs, so here it is never missing. */
		ck_assert(way == 0 ? sum.add == NULL : sum.add != NULL);
		for (size_t i = 0; i < known[_i].times; i++)
			cx_sum_add(&sum, known[_i].part, strlen(known[_i].part));
		cx_sum_end(&sum, got);
		cx_to_hex(got, sizeof got, hex);
		ck_assert_str_eq(hex, known[_i].sum);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli/sum");
	TCase *tc = tcase_create("sum");

	tcase_add_loop_test(tc, sums_are_known, 0, CX_LEN(known));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
