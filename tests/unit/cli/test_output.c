/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <string.h>
#include <unistd.h>

#include "check_main.h"

static struct cx_cli cli;
static struct cx_err err;

/* What show() writes to standard output; the caller's. */
static char *capture(int (*show)(json_t *value), json_t *value)
{
	static char text[4096];
	int file = fileno(tmpfile()), saved = dup(STDOUT_FILENO);
	ssize_t len;

	(void)fflush(stdout);
	ck_assert_int_ge(dup2(file, STDOUT_FILENO), 0);
	ck_assert_int_eq(show(value), 0);
	(void)fflush(stdout);
	ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
	(void)close(saved);
	len = pread(file, text, sizeof text - 1, 0);
	ck_assert_int_ge(len, 0);
	text[len] = '\0';
	return text;
}

static int show_data(json_t *value)
{
	return cx_output_data(&cli, value, &err);
}

static int show_list(json_t *value)
{
	static const struct cx_column columns[] = { { "ID", "id", CX_CELL_TEXT },
						    { "D", "digest", CX_CELL_DIGEST },
						    { "N", "list", CX_CELL_COUNT },
						    { "DEEP", "a.b", CX_CELL_TEXT },
						    { "SIZE", "size", CX_CELL_BYTES } };

	return cx_output_list(&cli, value, columns, CX_LEN(columns), &err);
}

static int show_object(json_t *value)
{
	return cx_output_object(&cli, value, &err);
}

static json_t *sample(void)
{
	json_t *item = json_pack("{s:s, s:s, s:[i,i], s:{s:b}, s:n, s:i}", "id", "x\"\n", "digest",
				 "sha256:0123456789abcdef0123", "list", 1, 2, "a", "b", 1, "none",
				 "size", 2048);

	ck_assert_ptr_nonnull(item);
	return item;
}

static const struct {
	const char *output, *want;
} forms[] = {
	{ "{id}|{a.b}|{list}|{none}|{no.such}|{size}", "x\"\n|true|[1,2]|-|-|2048\n" },
	{ "a\\tb\\\\{size}\\n", "a\tb\\2048\n\n" },
	{ "{size} {open", "2048 {open\n" },
	{ "\\q{size}", "\\q2048\n" },
	{ "yaml", "\"id\": \"x\\\"\\n\"\n\"digest\": \"sha256:0123456789abcdef0123\"\n\"list\":\n"
		  "- 1\n- 2\n\"a\":\n  \"b\": true\n\"none\": null\n\"size\": 2048\n" },
};

START_TEST(data_has_forms)
{
	json_t *item = sample();

	cli.args.output = forms[_i].output;
	ck_assert(cx_output_is_data(&cli));
	ck_assert_str_eq(capture(show_data, item), forms[_i].want);
	json_decref(item);
}
END_TEST

START_TEST(a_format_goes_to_each_item)
{
	json_t *list = json_pack("[{s:i},{s:i}]", "n", 1, "n", 2);

	cli.args.output = "{n}";
	ck_assert_str_eq(capture(show_list, list), "1\n2\n");
	json_decref(list);
}
END_TEST

START_TEST(json_stays_json)
{
	json_t *item = sample(), *back;

	cli.args.output = "json";
	back = json_loads(capture(show_object, item), 0, NULL);
	ck_assert(json_equal(item, back));
	json_decref(back);
	json_decref(item);
}
END_TEST

START_TEST(tables_are_for_people)
{
	json_t *list = json_array(), *item = sample();

	cli.args.output = NULL;
	(void)json_array_append(list, item);
	ck_assert_str_eq(capture(show_list, list), "ID   D                    N  DEEP  SIZE\n"
						   "x\"?  sha256:0123456789ab  2  true  2.0 KiB\n");
	ck_assert_ptr_null(strstr(capture(show_object, item), "none"));
	ck_assert_ptr_nonnull(strstr(capture(show_object, item), "size    2048\n"));
	json_decref(item);
	json_decref(list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli/output");
	TCase *tc = tcase_create("output");

	tcase_add_loop_test(tc, data_has_forms, 0, CX_LEN(forms));
	tcase_add_test(tc, a_format_goes_to_each_item);
	tcase_add_test(tc, json_stays_json);
	tcase_add_test(tc, tables_are_for_people);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
