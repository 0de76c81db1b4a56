/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"

/* What is done to each sandbox that is named. */
struct deed {
	const char *method, *tail; /* of the path */
	const char *done;	   /* how it is said, and called in JSON */
};

static const struct deed deletion = { "DELETE", "", "deleted" };
static const struct deed pause_deed = { "POST", "/pause", "paused" };
static const struct deed resume_deed = { "POST", "/resume", "resumed" };
static const struct deed stop_deed = { "POST", "/stop", "stopped" };

static int do_one(struct cx_cli *cli, const struct deed *deed, const char *id, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };

	if (cx_cli_sandbox_path(&path, id, deed->tail, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, deed->method, path.p, NULL, NULL, err);
}

/* Says for each what came of it; *first keeps the first failure for the exit status. */
static void do_and_report(struct cx_cli *cli, const struct deed *deed, const char *id,
			  json_t *results, struct cx_err *first)
{
	struct cx_err err = { 0 };
	char text[sizeof err.msg + 128] = "";
	bool done = do_one(cli, deed, id, &err) == 0;

	if (!done)
		(void)cx_err_render(&err, text, sizeof text);
	if (!done && first->errnum == 0)
		*first = err;
	if (cx_output_is_data(cli)) {
		(void)json_array_append_new(results,
					    done ? json_pack("{s:s, s:b}", "id", id, deed->done, 1)
						 : json_pack("{s:s, s:b, s:s}", "id", id,
							     deed->done, 0, "error", text));
	} else if (done) {
		cx_cli_print_word(id, stdout);
		(void)printf(" %s\n", deed->done);
	} else {
		(void)fputs("caisson: ", stderr);
		cx_cli_print_word(id, stderr);
		(void)fprintf(stderr, " not %s: %s\n", deed->done, text);
	}
}

static void do_list(struct cx_cli *cli, const struct deed *deed, const char *text, json_t *results,
		    struct cx_err *first)
{
	cx_autofree char *copy = strdup(text);
	char *save = NULL;

	for (char *id = copy != NULL ? strtok_r(copy, ",", &save) : NULL; id != NULL;
	     id = strtok_r(NULL, ",", &save))
		do_and_report(cli, deed, id, results, first);
}

int cx_confirm(struct cx_cli *cli, const char *question, struct cx_err *err)
{
	char answer[8] = "";

	if (cli->args.yes)
		return 0;
	if (!isatty(STDIN_FILENO))
		return cx_refuse(err, CX_INVALID, "%s? Add --yes to do it", question);
	(void)fprintf(stderr, "%s? [y/N] ", question);
	if (fgets(answer, sizeof answer, stdin) == NULL || (*answer != 'y' && *answer != 'Y'))
		return cx_refuse(err, CX_DENIED, "nothing was removed");
	return 0;
}

static int confirm(struct cx_cli *cli, size_t n, struct cx_err *err)
{
	char question[64];

	(void)snprintf(question, sizeof question, "Delete %zu sandboxes", n);
	return n == 0 ? 0 : cx_confirm(cli, question, err);
}

static int delete_selected(struct cx_cli *cli, json_t *results, struct cx_err *first,
			   struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *all = NULL;
	json_t *item;
	size_t i;

	if (cx_list_all(cli, false, &all, err) < 0 || confirm(cli, json_array_size(all), err) < 0)
		return -err->errnum;
	json_array_foreach(all, i, item)
	{
		const char *id = json_string_value(json_object_get(item, "id"));

		if (id != NULL)
			do_and_report(cli, &deletion, id, results, first);
	}
	return 0;
}

int cx_cmd_delete(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *results = json_array();
	struct cx_err first = { 0 };

	if ((a->nwords > 0) + (a->labels.n > 0) + a->all != 1) {
		(void)cx_refuse(err, CX_INVALID, "name sandboxes, or --label, or --all: just one");
		return CX_EXIT_USAGE;
	}
	for (size_t i = 0; i < a->nwords; i++)
		do_list(cli, &deletion, a->words[i], results, &first);
	if (a->nwords == 0 && delete_selected(cli, results, &first, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli) && cx_output_data(cli, results, err) < 0)
		return -err->errnum;
	return cx_exit_status(&first);
}

static int do_words(struct cx_cli *cli, const struct deed *deed, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *results = json_array();
	struct cx_err first = { 0 };

	for (size_t i = 0; i < cli->args.nwords; i++)
		do_list(cli, deed, cli->args.words[i], results, &first);
	if (cx_output_is_data(cli) && cx_output_data(cli, results, err) < 0)
		return -err->errnum;
	return cx_exit_status(&first);
}

int cx_cmd_pause(struct cx_cli *cli, struct cx_err *err)
{
	return do_words(cli, &pause_deed, err);
}

int cx_cmd_resume(struct cx_cli *cli, struct cx_err *err)
{
	return do_words(cli, &resume_deed, err);
}

int cx_cmd_stop(struct cx_cli *cli, struct cx_err *err)
{
	return do_words(cli, &stop_deed, err);
}
