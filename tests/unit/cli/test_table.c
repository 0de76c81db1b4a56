/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <string.h>

#include "check_main.h"

/* What the table prints; the caller's. */
static char *print(const struct cx_table *table)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(to);
	cx_table_print(table, to);
	(void)fclose(to);
	return text;
}

static void check(unsigned columns, const char *const *cells, size_t n, const char *want)
{
	CX_AUTO(cx_table_free) struct cx_table table = { .columns = columns };
	cx_autofree char *text = NULL;
	struct cx_err err = { 0 };

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(cx_table_add(&table, cells[i], &err), 0);
	text = print(&table);
	ck_assert_str_eq(text, want);
}

START_TEST(columns_align)
{
	static const char *const cells[] = { "ID", "NAME", "STATUS", "ab12", "x", "RUNNING" };

	check(3, cells, CX_LEN(cells),
	      "ID    NAME  STATUS\n"
	      "ab12  x     RUNNING\n");
}
END_TEST

START_TEST(nothing_is_a_dash)
{
	static const char *const cells[] = { NULL, "", "end" };

	check(3, cells, CX_LEN(cells), "-  -  end\n");
}
END_TEST

START_TEST(width_counts_characters)
{
	static const char *const cells[] = { "\xc3\xa4\xc3\xb6", "1", "abc", "2" };

	check(2, cells, CX_LEN(cells),
	      "\xc3\xa4\xc3\xb6   1\n"
	      "abc  2\n");
}
END_TEST

START_TEST(control_characters_do_not_get_out)
{
	static const char *const cells[] = { "a\033[2Jb\n\x7f", "x" };

	check(2, cells, CX_LEN(cells), "a?[2Jb??  x\n");
}
END_TEST

START_TEST(empty_prints_nothing)
{
	check(2, NULL, 0, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table");
	TCase *tc = tcase_create("table");

	tcase_add_test(tc, columns_align);
	tcase_add_test(tc, nothing_is_a_dash);
	tcase_add_test(tc, width_counts_characters);
	tcase_add_test(tc, control_characters_do_not_get_out);
	tcase_add_test(tc, empty_prints_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
