/* SPDX-License-Identifier: Apache-2.0 */
#include "api/templates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"

static char path[64];
static struct cx_templates *t;
static struct cx_err err;

static int read_text(const char *text)
{
	FILE *file;
	int fd;

	(void)strcpy(path, "/tmp/caisson-templates-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	file = fdopen(fd, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
	return cx_templates_open(path, true, &t, &err);
}

static void teardown(void)
{
	(void)unlink(path);
	cx_templates_close(t);
	t = NULL;
}

START_TEST(maps)
{
	ck_assert_int_eq(read_text("# what E2B calls them\n[templates]\ndefault = debian:12-slim\n"
				   "custom-gpu-template = registry.example:5000/gpu:1\n"),
			 0);
	ck_assert_str_eq(cx_templates_image(t, NULL), "debian:12-slim");
	ck_assert_str_eq(cx_templates_image(t, "default"), "debian:12-slim");
	ck_assert_str_eq(cx_templates_image(t, "custom-gpu-template"),
			 "registry.example:5000/gpu:1");
	ck_assert_ptr_null(cx_templates_image(t, "custom-gpu"));
}
END_TEST

START_TEST(needs_no_file_unless_told)
{
	ck_assert_int_eq(cx_templates_open("/nowhere/templates.conf", false, &t, &err), 0);
	ck_assert_str_eq(cx_templates_image(t, NULL), "python:3.11-slim");
	ck_assert_ptr_null(cx_templates_image(t, "x"));
	cx_templates_close(t);
	t = NULL;
	ck_assert_int_lt(cx_templates_open("/nowhere/templates.conf", true, &t, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "/nowhere/templates.conf"));
}
END_TEST

static const struct {
	const char *text, *line, *says;
} bad[] = {
	{ "a = debian\n", "line 1", "[templates]" },
	{ "[images]\na = debian\n", "line 2", "[templates]" },
	{ "[templates]\na = debian\n\na = alpine\n", "line 4", "'a'" },
	{ "[templates]\na\n", "line 2", "name = image" },
	{ "[templates]\na = De bian\n", "line 2", "a" },
	{ "[templates]\na =\n", "line 2", "a" },
	{ "[templates]\n= debian\n", "line 2", "name" },
	{ "[templates]\ndefault = a\ndefault = b\n", "line 3", "'default'" },
};

START_TEST(refuses)
{
	ck_assert_msg(read_text(bad[_i].text) < 0, "%s", bad[_i].text);
	ck_assert_msg(strstr(err.msg, bad[_i].line) != NULL, "%s: %s", bad[_i].text, err.msg);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL, "%s: %s", bad[_i].text, err.msg);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("templates");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, maps);
	tcase_add_test(c, needs_no_file_unless_told);
	tcase_add_loop_test(c, refuses, 0, (int)CX_LEN(bad));
	suite_add_tcase(s, c);
	return run_suite(s);
}
