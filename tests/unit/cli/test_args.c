/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"
#include "cli/commands.h"

static struct cx_args args;
static struct cx_err err;

static const struct cx_command *command(const char *name)
{
	for (size_t i = 0; i < cx_commands_count; i++)
		if (strcmp(cx_commands[i].name, name) == 0)
			return &cx_commands[i];
	ck_abort_msg("no command %s", name);
}

static void begin(void)
{
	cx_args_init(&args);
	err = (struct cx_err){ 0 };
	(void)setenv("FROM_OUTSIDE", "outside", 1);
	(void)unsetenv("NOT_THERE");
}

static void end(void)
{
	cx_args_free(&args);
}

#define PARSE(name, ...) parse(name, (const char *const[]){ "caisson", __VA_ARGS__, NULL })

static int parse(const char *name, const char *const *words)
{
	static char *argv[32];
	int argc = 0;

	for (; words[argc] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	argv[argc] = NULL;
	return cx_args_parse(&args, &command(name)->syntax, argc, argv, &err);
}

START_TEST(create)
{
	ck_assert_int_eq(PARSE("create", "--name", "lab", "img:1", "--cpus=0.5", "-m", "512M", "-e",
			       "A=b=c", "--env", "FROM_OUTSIDE", "--pids", "64", "-l", "x", "-l",
			       "y", "--no-network-access", "--json"),
			 0);
	ck_assert_uint_eq(args.nwords, 1);
	ck_assert_str_eq(args.words[0], "img:1");
	ck_assert_str_eq(args.name, "lab");
	ck_assert_double_eq(args.cpu_cores, 0.5);
	ck_assert_double_eq(args.memory_gb, 0.5);
	ck_assert_double_eq(args.disk_gb, -1);
	ck_assert_double_eq(args.pids, 64);
	ck_assert_uint_eq(args.env.n, 2);
	ck_assert_str_eq(args.env.items[0], "A=b=c");
	ck_assert_uint_eq(args.labels.n, 2);
	ck_assert_int_eq(args.network, 0);
	ck_assert_str_eq(args.output, "json");
}
END_TEST

static void check_run(const char *words, size_t nrest, bool dashes)
{
	ck_assert_msg(err.errnum == 0, "%s", err.msg);
	ck_assert_str_eq(args.words[0], words);
	ck_assert_uint_eq(args.nwords, 1);
	ck_assert_uint_eq(args.nrest, nrest);
	ck_assert_int_eq(args.dashes, dashes);
	ck_assert_ptr_null(args.rest[nrest]);
}

START_TEST(run_takes_options_until_its_command)
{
	ck_assert_int_eq(PARSE("run", "sbx", "--working-dir", "/w", "ls", "-e", "--", "x"), 0);
	check_run("sbx", 4, false);
	ck_assert_str_eq(args.rest[1], "-e");
	ck_assert_str_eq(args.rest[2], "--");
	ck_assert_str_eq(args.cwd, "/w");
	ck_assert_uint_eq(args.env.n, 0);
}
END_TEST

START_TEST(run_shell_text_and_dashes)
{
	ck_assert_int_eq(PARSE("run", "sbx", "echo a; echo b"), 0);
	check_run("sbx", 1, false);
	ck_assert_int_eq(PARSE("run", "sbx", "--", "echo a; echo b"), 0);
	check_run("sbx", 1, true);
	ck_assert_int_eq(PARSE("run", "--", "sbx", "-c", "y"), 0);
	check_run("sbx", 2, true);
	ck_assert_int_eq(PARSE("run", "-u", "1:2", "sbx", "--timeout", "0.5", "--", "--help"), 0);
	check_run("sbx", 1, true);
	ck_assert(!args.help);
	ck_assert_double_eq(args.timeout_s, 0.5);
}
END_TEST

static const struct {
	const char *command, *words[5], *says;
} refused[] = {
	{ "create", { NULL }, "IMAGE" },
	{ "create", { "a", "b" }, "one word too many" },
	{ "create", { "a", "--memory", "NaN" }, "--memory" },
	{ "create", { "a", "--memory", "-1" }, "--memory" },
	{ "create", { "a", "--cpus" }, "wants a value" },
	{ "create", { "a", "--cpus", "1e400" }, "--cpus" },
	{ "create", { "a", "--pids", "1.5" }, "--pids" },
	{ "create", { "a", "--timeout-minutes", "99999999999999999999" }, "--timeout-minutes" },
	{ "create", { "a", "--env", "=x" }, "KEY=VALUE" },
	{ "create", { "a", "--secret", "NOT_THERE" }, "NOT_THERE" },
	{ "create", { "a", "--wrong" }, "--wrong" },
	{ "create", { "a", "-Z" }, "-Z" },
	{ "create", { "a", "-o", "tab" }, "must be table, json, yaml" },
	{ "create", { "a", "-o", "" }, "must be table, json, yaml" },
	{ "create", { "a", "-o", "}{" }, "must be table, json, yaml" },
	{ "create", { "a", "--no-network-access=1" }, "takes no value" },
	{ "run", { "id" }, "COMMAND" },
	{ "run", { NULL }, "COMMAND" },
	{ "run", { "id", "--cpus", "1", "x" }, "--cpus" },
	{ "list", { "x" }, "one word too many" },
	{ "get", { "a", "b" }, "one word too many" },
	{ "image rm", { NULL }, "REF" },
};

START_TEST(refusal)
{
	const char *words[7] = { "caisson" };

	for (unsigned i = 0; i < 5 && refused[_i].words[i] != NULL; i++)
		words[i + 1] = refused[_i].words[i];
	ck_assert_int_lt(parse(refused[_i].command, words), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, refused[_i].says) != NULL, "%s", err.msg);
}
END_TEST

static int parse_labels(size_t n)
{
	static const char *words[2 * CX_TEXTS_MAX + 5];

	words[0] = "caisson";
	words[1] = "img";
	for (size_t i = 0; i < n; i++) {
		words[2 + 2 * i] = "-l";
		words[3 + 2 * i] = "x";
	}
	words[2 + 2 * n] = NULL;
	return cx_args_parse(&args, &command("create")->syntax, (int)(2 + 2 * n),
			     (char **)(uintptr_t)words, &err);
}

START_TEST(lists_are_bounded)
{
	ck_assert_int_eq(parse_labels(CX_TEXTS_MAX), 0);
	args.labels.n = 0;
	ck_assert_int_lt(parse_labels(CX_TEXTS_MAX + 1), 0);
}
END_TEST

/* Of the command's own options: no name twice, no letter twice, a help text for each. */
START_TEST(table_is_sound)
{
	const struct cx_syntax *syntax = &cx_commands[_i].syntax;
	const struct cx_opt *seen[64];
	size_t n = 0;

	for (const struct cx_opt *const *t = syntax->tables; *t != NULL; t++)
		for (const struct cx_opt *o = *t; o->name != NULL; o++) {
			const bool valued = o->type == CX_OPT_TEXT || o->type == CX_OPT_WORD ||
					    o->type == CX_OPT_OUTPUT || o->type == CX_OPT_LIST ||
					    o->type == CX_OPT_PAIR || o->type >= CX_OPT_COUNT;

			ck_assert_msg(valued == (o->arg != NULL), "--%s", o->name);
			ck_assert_msg(o->help != NULL && *o->help != '\0', "--%s", o->name);
			for (size_t i = 0; i < n; i++) {
				ck_assert_str_ne(seen[i]->name, o->name);
				ck_assert_msg(o->letter == 0 || seen[i]->letter != o->letter,
					      "%s: -%c twice", cx_commands[_i].name, o->letter);
			}
			seen[n++] = o;
			ck_assert_uint_lt(n, 64);
		}
	ck_assert(cx_commands[_i].run != NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("args");
	TCase *tc = tcase_create("args");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, create);
	tcase_add_test(tc, run_takes_options_until_its_command);
	tcase_add_test(tc, run_shell_text_and_dashes);
	tcase_add_loop_test(tc, refusal, 0, CX_LEN(refused));
	tcase_add_test(tc, lists_are_bounded);
	tcase_add_loop_test(tc, table_is_sound, 0, (int)cx_commands_count);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
