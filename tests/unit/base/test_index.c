/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/index.h"
#include "check_main.h"

enum { MANY = 3 * CX_INDEX_PLACES };

struct owner {
	int before;
	struct cx_indexed entry;
	char key[16];
};

static struct cx_index index_;
static struct owner owners[MANY];

static const struct owner *find(const char *key)
{
	struct cx_indexed *entry = cx_index_find(&index_, key);

	return entry != NULL ? cx_container_of(entry, struct owner, entry) : NULL;
}

START_TEST(each_is_found_until_it_is_removed)
{
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(owners[i].key, sizeof owners[i].key, "box%d", i);
		ck_assert_ptr_null(find(owners[i].key));
		cx_index_add(&index_, &owners[i].entry, owners[i].key);
	}
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_eq(find(owners[i].key), &owners[i]);
	for (int i = 0; i < MANY; i += 2)
		cx_index_remove(&owners[i].entry);
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_eq(find(owners[i].key), i % 2 == 0 ? NULL : &owners[i]);
	for (int i = 0; i < MANY; i++)
		cx_index_remove(&owners[i].entry); /* half of them once more */
	for (int i = 0; i < CX_INDEX_PLACES; i++)
		ck_assert_ptr_null(index_.places[i]);
}
END_TEST

START_TEST(the_latest_hides_earlier_ones)
{
	static struct owner two[2];

	cx_index_add(&index_, &two[0].entry, "same");
	cx_index_add(&index_, &two[1].entry, "same");
	ck_assert_ptr_eq(find("same"), &two[1]);
	cx_index_remove(&two[1].entry);
	ck_assert_ptr_eq(find("same"), &two[0]);
	cx_index_add(&index_, &two[0].entry, "other"); /* moves */
	ck_assert_ptr_null(find("same"));
	ck_assert_ptr_eq(find("other"), &two[0]);
	cx_index_remove(&two[0].entry);
	ck_assert_ptr_null(find("other"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/index");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, each_is_found_until_it_is_removed);
	tcase_add_test(tc, the_latest_hides_earlier_ones);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
