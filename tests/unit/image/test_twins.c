/* SPDX-License-Identifier: Apache-2.0 */
#include "image/twins.h"

#include "entry_text.h"

static struct cx_twins *twins;
static struct cx_err err;

static void begin(void)
{
	ck_assert_int_eq(cx_twins_new(&twins, &err), 0);
}

static void end(void)
{
	cx_twins_free(twins);
}

/* Data in pieces, as an archive gives it; "_" stands for a hole. */
static struct cx_inode *look(struct cx_inode *file, uint64_t size, const char *pieces)
{
	uint64_t at = 0;

	*file = (struct cx_inode){ .size = size };
	cx_twins_begin(twins);
	while (*pieces != '\0') {
		size_t n = strcspn(pieces, "|");

		if (*pieces != '_')
			cx_twins_data(twins, at, pieces, n);
		at += n;
		pieces += n + (pieces[n] == '|');
	}
	return cx_twins_find(twins, file);
}

static const struct {
	const char *first;
	uint64_t first_size;
	const char *second;
	uint64_t second_size;
	bool found;
} rows[] = {
	{ "abc", 3, "abc", 3, true },	   { "abc", 3, "a|b|c", 3, true },
	{ "ab|c", 3, "a|bc", 3, true },	   { "abc", 3, "abd", 3, false },
	{ "abc", 3, "abcd", 4, false },	   { "abc", 3, "abc", 4, false },
	{ "a|_|c", 3, "a|_|c", 3, false }, { "_|bc", 3, "bc", 2, false },
	{ "bc", 2, "_|bc", 3, false },	   { "", 5, "", 5, false },
};

START_TEST(found_by_content)
{
	struct cx_inode one, two;

	ck_assert_ptr_null(look(&one, rows[_i].first_size, rows[_i].first));
	cx_twins_add(twins, &one);
	ck_assert_ptr_eq(look(&two, rows[_i].second_size, rows[_i].second),
			 rows[_i].found ? &one : NULL);
}
END_TEST

START_TEST(the_last_one_added_is_found)
{
	struct cx_inode one, two, three;

	(void)look(&one, 3, "abc");
	cx_twins_add(twins, &one);
	(void)look(&two, 3, "abc");
	cx_twins_add(twins, &two);
	ck_assert_ptr_eq(look(&three, 3, "abc"), &two);
}
END_TEST

START_TEST(not_found_before_it_is_added)
{
	struct cx_inode one, two;

	(void)look(&one, 3, "abc");
	ck_assert_ptr_null(look(&two, 3, "abc"));
}
END_TEST

START_TEST(many)
{
	enum { N = 3000 };
	static struct cx_inode files[N], again;
	char text[16];

	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(text, sizeof text, "%06u", i);
		ck_assert_ptr_null(look(&files[i], 6, text));
		cx_twins_add(twins, &files[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(text, sizeof text, "%06u", i);
		ck_assert_ptr_eq(look(&again, 6, text), &files[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("twins");
	TCase *tc = tcase_create("twins");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, found_by_content, 0, CX_LEN(rows));
	tcase_add_test(tc, the_last_one_added_is_found);
	tcase_add_test(tc, not_found_before_it_is_added);
	tcase_add_test(tc, many);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
