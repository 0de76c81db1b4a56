/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "check_main.h"

struct thing {
	char name;
	struct thing *next, **link;
};

/* Forwards by next, and each knows the place that points to it. */
static const char *names(struct thing **first)
{
	static char text[8];
	size_t n = 0;

	for (struct thing **at = first; *at != NULL; at = &(*at)->next) {
		ck_assert_ptr_eq((*at)->link, at);
		text[n++] = (*at)->name;
	}
	text[n] = '\0';
	return text;
}

START_TEST(members_come_and_go_anywhere)
{
	struct thing a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
	struct thing *first = NULL, *p = &a, *q = &b, *r = &c;

	cx_list_remove(p); /* it is in none */
	cx_list_add(&first, p);
	ck_assert_str_eq(names(&first), "a");
	cx_list_add(&first, q);
	ck_assert_str_eq(names(&first), "ba");
	cx_list_add(&b.next, r);
	ck_assert_str_eq(names(&first), "bca");
	cx_list_remove(r); /* the middle one */
	ck_assert_str_eq(names(&first), "ba");
	ck_assert_ptr_null(c.link);
	cx_list_remove(r);
	cx_list_add(&a.next, r);
	ck_assert_str_eq(names(&first), "bac");
	cx_list_remove(q); /* the first one */
	ck_assert_str_eq(names(&first), "ac");
	cx_list_remove(r); /* the last one */
	ck_assert_str_eq(names(&first), "a");
	cx_list_remove(p);
	ck_assert_ptr_null(first);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/list");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, members_come_and_go_anywhere);
	suite_add_tcase(s, tcase);
	return run_suite(s);
}
