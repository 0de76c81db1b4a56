/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "check_main.h"

#include "api/reqid.h"
#include "base/cleanup.h"

#define SIXTEEN "0123456789abcdef"

static const struct {
	const char *given;
	bool kept;
} cases[] = {
	{ NULL, false },
	{ "", false },
	{ "a", true },
	{ "01ARZ3-ND_E.x", true },
	{ "two words", false },
	{ "line\nbreak", false },
	{ "quote\"", false },
	{ "\xc3\xa9", false },
	{ SIXTEEN SIXTEEN SIXTEEN SIXTEEN, true },
	{ SIXTEEN SIXTEEN SIXTEEN SIXTEEN "0", false },
};

START_TEST(only_what_fits_a_log_is_kept)
{
	char id[CX_REQUEST_ID_MAX + 1];

	cx_request_id_choose(cases[_i].given, id);
	if (cases[_i].kept) {
		ck_assert_str_eq(id, cases[_i].given);
		return;
	}
	ck_assert_uint_eq(strlen(id), 16);
	ck_assert_uint_eq(strspn(id, "abcdefghjkmnpqrs"), 16);
}
END_TEST

START_TEST(made_ones_differ)
{
	char a[CX_REQUEST_ID_MAX + 1], b[CX_REQUEST_ID_MAX + 1];

	cx_request_id_choose(NULL, a);
	cx_request_id_choose(NULL, b);
	ck_assert_str_ne(a, b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/reqid");
	TCase *tc = tcase_create("reqid");

	tcase_add_loop_test(tc, only_what_fits_a_log_is_kept, 0, CX_LEN(cases));
	tcase_add_test(tc, made_ones_differ);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
