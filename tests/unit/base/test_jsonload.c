/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonload.h"

#include <stdlib.h>
#include <string.h>

#include "check_main.h"

/* The program is linked with --wrap=malloc: what the library asks for comes here. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static unsigned fails_at, calls; /* the call that fails, from 1 on; 0: none */

void *__wrap_malloc(size_t size)
{
	return ++calls == fails_at ? NULL : __real_malloc(size);
}

static const char text[] = "{\"allowlist\": [\"198.51.100.0/24\", \"2001:db8:85a3::/48\"]}";

static json_t *load(unsigned fail, json_error_t *why)
{
	calls = 0;
	fails_at = fail;
	return cx_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, why);
}

START_TEST(a_text_is_whole_or_not_there)
{
	json_error_t why;
	json_t *doc = load(0, &why);
	unsigned needed = calls;

	ck_assert_ptr_nonnull(doc);
	ck_assert_uint_gt(needed, 4);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(doc, "allowlist"), 0)),
			 "198.51.100.0/24");
	json_decref(doc);
	for (unsigned fail = 1; fail <= needed; fail++) {
		ck_assert_msg(load(fail, &why) == NULL, "without allocation %u", fail);
		ck_assert_int_eq(json_error_code(&why), json_error_out_of_memory);
		ck_assert_str_eq(why.text, "out of memory");
	}
	ck_assert_ptr_null(load(1, NULL));
}
END_TEST

START_TEST(what_is_wrong_is_told_as_ever)
{
	json_error_t why;

	fails_at = 0;
	ck_assert_ptr_null(cx_json_load("{", 1, 0, &why));
	ck_assert_int_ne(json_error_code(&why), json_error_out_of_memory);
	ck_assert_int_eq(why.line, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/jsonload");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, a_text_is_whole_or_not_there);
	tcase_add_test(tc, what_is_wrong_is_told_as_ever);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
