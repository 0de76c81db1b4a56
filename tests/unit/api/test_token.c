/* SPDX-License-Identifier: Apache-2.0 */
#include "api/token.h"

#include <sodium.h>
#include <string.h>

#include "check_main.h"

static struct cx_token_key key;
static char token[CX_TOKEN_MAX + 1], id[CX_SANDBOX_ID_MAX + 1];

static void setup(void)
{
	ck_assert_int_ge(sodium_init(), 0);
	cx_token_key_new(&key);
	cx_token_make(&key, "0123456789abcdef0123456789abcdef", 1000, token);
}

START_TEST(it_names_its_sandbox_until_it_is_over)
{
	ck_assert(cx_token_check(&key, token, 999, id));
	ck_assert_str_eq(id, "0123456789abcdef0123456789abcdef");
	ck_assert(!cx_token_check(&key, token, 1000, id));
}
END_TEST

START_TEST(no_bit_of_it_can_be_changed)
{
	for (size_t i = 0; i < strlen(token); i++) {
		token[i] ^= 1;
		ck_assert(!cx_token_check(&key, token, 999, id));
		token[i] ^= 1;
	}
	ck_assert(cx_token_check(&key, token, 999, id));
}
END_TEST

START_TEST(it_is_ours_alone)
{
	struct cx_token_key other;

	cx_token_key_new(&other);
	ck_assert(!cx_token_check(&other, token, 999, id));
}
END_TEST

static const char *const no_tokens[] = { "",	     "_",     "cxs_",	   "cxs_1_a",
					 "cxs_1_a_", "a b c", "cxs_1_a_00" };

START_TEST(other_texts_are_none)
{
	char longest[2 * CX_TOKEN_MAX] = "";

	ck_assert(!cx_token_check(&key, no_tokens[_i], 0, id));
	memset(longest, '_', sizeof longest - 1);
	ck_assert(!cx_token_check(&key, longest, 0, id));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/token");
	TCase *tc = tcase_create("token");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, it_names_its_sandbox_until_it_is_over);
	tcase_add_test(tc, no_bit_of_it_can_be_changed);
	tcase_add_test(tc, it_is_ours_alone);
	tcase_add_loop_test(tc, other_texts_are_none, 0, sizeof no_tokens / sizeof no_tokens[0]);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
