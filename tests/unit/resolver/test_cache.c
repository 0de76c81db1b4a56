/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/cache.h"

#include "base/loop.h"
#include "base/str.h"
#include "check_main.h"

static struct cx_cache cache;

static void put(const char *name, uint16_t type, size_t bytes)
{
	struct cx_answer *a = cx_answer_empty(CX_RCODE_NOERROR, 60);

	ck_assert_ptr_nonnull(a);
	a->bytes += bytes;
	cx_cache_put(&cache, name, type, a);
	cx_answer_unref(&a);
}

static bool has(const char *name, uint16_t type)
{
	return cx_cache_get(&cache, name, type, cx_now_ms()) != NULL;
}

START_TEST(by_name_and_type)
{
	put("a.com", 1, 0);
	put("b.com", 28, 0);
	ck_assert(has("a.com", 1) && has("b.com", 28));
	ck_assert(!has("a.com", 28) && !has("b.com", 1) && !has("c.com", 1));
	ck_assert_ptr_null(cx_cache_get(&cache, "a.com", 1, cx_now_ms() + 60000));
	ck_assert(!has("a.com", 1) && has("b.com", 28));
	put("b.com", 28, 0);
	ck_assert_uint_eq(cache.n, 1);
	cx_cache_clear(&cache);
	ck_assert_uint_eq(cache.n, 0);
	ck_assert_uint_eq(cache.bytes, 0);
}
END_TEST

START_TEST(bounded)
{
	char name[32];
	struct cx_err err;

	for (unsigned i = 0; i < CX_CACHE_ENTRIES + 10; i++) {
		ck_assert_int_ge(cx_format(name, sizeof name, "n%u", &err, i), 0);
		put(name, 1, 0);
		ck_assert(has("n0", 1)); /* it is used, so it stays */
	}
	ck_assert_uint_eq(cache.n, CX_CACHE_ENTRIES);
	ck_assert(!has("n1", 1) && has(name, 1));
	put("large", 1, CX_CACHE_BYTES / 2);
	put("larger", 1, CX_CACHE_BYTES / 2);
	ck_assert(!has("large", 1));
	ck_assert_uint_le(cache.bytes, CX_CACHE_BYTES);
	put("largest", 1, CX_CACHE_BYTES);
	ck_assert_uint_eq(cache.n, 0);
	cx_cache_clear(&cache);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/cache");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, by_name_and_type);
	tcase_add_test(tc, bounded);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
