/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/number.h"

enum { OPTIONS_MAX = 64, FIRST_LONG = 256, WORD = 1 };

/* The form getopt_long(3) wants. */
struct forms {
	const struct cx_opt *rows[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 3];
};

void cx_args_init(struct cx_args *args)
{
	*args = (struct cx_args){
		.cpu_cores = -1,
		.memory_gb = -1,
		.disk_gb = -1,
		.pids = -1,
		.timeout_minutes = -1,
		.idle_timeout_minutes = -1,
		.timeout_s = -1,
		.interval_s = -1,
		.lease_s = -1,
		.count = -1,
		.after = -1,
		.offset = -1,
		.cpu_time_s = -1,
		.processes = -1,
		.output_gb = -1,
		.file_gb = -1,
		.open_files = -1,
		.stack_gb = -1,
		.uid = -1,
		.max_sandboxes = -1,
		.max_cores = -1,
		.max_memory_gb = -1,
		.max_core_hours = -1,
		.network = -1,
	};
}

bool cx_args_have_code(const struct cx_args *args)
{
	return args->code != NULL || args->code_file != NULL;
}

void cx_args_free(struct cx_args *args)
{
	free(args->words);
	args->words = NULL;
	args->nwords = 0;
}

static void make_forms(struct forms *f, const struct cx_opt *const *tables)
{
	char *s = f->shorts;
	int n = 0;

	*s++ = '-'; /* words come in their place, as if they were the argument of option 1 */
	*s++ = ':'; /* a missing value is told from an unknown option */
	for (; *tables != NULL; tables++)
		for (const struct cx_opt *o = *tables; o->name != NULL; o++, n++) {
			assert(n < OPTIONS_MAX);
			f->rows[n] = o;
			f->longs[n] =
				(struct option){ o->name, o->arg != NULL, NULL, FIRST_LONG + n };
			if (o->letter != 0)
				*s++ = o->letter;
			if (o->letter != 0 && o->arg != NULL)
				*s++ = ':';
		}
	f->longs[n] = (struct option){ 0 };
	*s = '\0';
}

static const struct cx_opt *find_row(const struct forms *f, int c)
{
	if (c >= FIRST_LONG)
		return f->rows[c - FIRST_LONG];
	for (int i = 0; f->longs[i].name != NULL; i++)
		if (f->rows[i]->letter == c)
			return f->rows[i];
	return NULL;
}

static int add_text(struct cx_texts *list, const struct cx_opt *o, const char *text,
		    struct cx_err *err)
{
	if (list->n == CX_TEXTS_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d times --%s", CX_TEXTS_MAX, o->name);
	list->items[list->n++] = text;
	return 0;
}

/* A value given by name only does not stand in the process list for everybody to read. */
static int check_pair(const struct cx_opt *o, const char *text, struct cx_err *err)
{
	size_t len = strcspn(text, "=");

	if (len == 0)
		return cx_refuse(err, CX_INVALID, "--%s wants KEY=VALUE or KEY", o->name);
	if (text[len] == '\0' && getenv(text) == NULL)
		return cx_refuse(err, CX_INVALID,
				 "--%s %.100s: no such variable in your environment; write "
				 "KEY=VALUE",
				 o->name, text);
	return 0;
}

static int check_word(const struct cx_opt *o, const char *text, struct cx_err *err)
{
	size_t len = strlen(text);

	for (const char *p = o->arg; *p != '\0'; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && strncmp(p, text, len) == 0)
			return 0;
	return cx_refuse(err, CX_INVALID, "--%s '%.40s': must be %s", o->name, text, o->arg);
}

static int check_output(const char *output, struct cx_err *err)
{
	static const char *const words[] = { "table", "json", "yaml" };
	const char *brace = strchr(output, '{');

	for (size_t i = 0; i < CX_LEN(words); i++)
		if (strcmp(words[i], output) == 0)
			return 0;
	if (brace != NULL && strchr(brace, '}') != NULL)
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "--output '%.40s': must be table, json, yaml or a format with members in "
			 "braces, like '{id} {status}'",
			 output);
}

static int set_number(const struct cx_opt *o, const char *text, double *to, struct cx_err *err)
{
	uint64_t whole = 0;
	char what[64];

	if (cx_format(what, sizeof what, "--%s", err, o->name) < 0)
		return -err->errnum;
	if (o->type == CX_OPT_GIB)
		return cx_number_parse_gib(text, what, to, err);
	if (o->type == CX_OPT_NUMBER)
		return cx_number_parse(text, what, to, err);
	if (cx_parse_u64(text, 0, 1ULL << 53, what, &whole, err) < 0)
		return -err->errnum;
	*to = (double)whole;
	return 0;
}

static int set_value(struct cx_args *args, const struct cx_opt *o, const char *text,
		     struct cx_err *err)
{
	void *to = (char *)args + o->offset;

	switch ((enum cx_opt_type)o->type) {
	case CX_OPT_FLAG:
		*(bool *)to = true;
		return 0;
	case CX_OPT_ON:
	case CX_OPT_OFF:
		*(int *)to = o->type == CX_OPT_ON;
		return 0;
	case CX_OPT_WORD:
		if (check_word(o, text, err) < 0)
			return -err->errnum;
		*(const char **)to = text;
		return 0;
	case CX_OPT_OUTPUT:
		if (check_output(text, err) < 0)
			return -err->errnum;
		*(const char **)to = text;
		return 0;
	case CX_OPT_JSON:
		*(const char **)to = "json";
		return 0;
	case CX_OPT_TEXT:
		*(const char **)to = text;
		return 0;
	case CX_OPT_PAIR:
		if (check_pair(o, text, err) < 0)
			return -err->errnum;
		return add_text(to, o, text, err);
	case CX_OPT_LIST:
		return add_text(to, o, text, err);
	case CX_OPT_COUNT:
	case CX_OPT_NUMBER:
	case CX_OPT_GIB:
		return set_number(o, text, to, err);
	}
	return cx_refuse(err, CX_INTERNAL, "option --%s has no type", o->name);
}

static int bad_option(const struct forms *f, int c, char **argv, struct cx_err *err)
{
	const struct cx_opt *o = c == ':' ? find_row(f, optopt) : NULL;

	if (o != NULL)
		return cx_refuse(err, CX_INVALID, "--%s wants a value: %s", o->name, o->arg);
	if (optopt >= FIRST_LONG)
		return cx_refuse(err, CX_INVALID, "--%s takes no value",
				 f->rows[optopt - FIRST_LONG]->name);
	if (optopt != 0)
		return cx_refuse(err, CX_INVALID, "unknown option -%c", optopt);
	return cx_refuse(err, CX_INVALID, "unknown option %.60s", argv[optind - 1]);
}

/* What follows "--", or the word at which a command begins. */
static void take_tail(struct cx_args *args, const struct cx_syntax *syntax, char **tail)
{
	while (*tail != NULL && (!syntax->rest || args->nwords < syntax->max))
		args->words[args->nwords++] = *tail++;
	args->rest = tail;
	for (args->nrest = 0; tail[args->nrest] != NULL; args->nrest++)
		;
}

static int read_all(struct cx_args *args, const struct cx_syntax *syntax, const struct forms *f,
		    int argc, char **argv, struct cx_err *err)
{
	int c;

	optind = 0; /* GNU: begin anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, f->shorts, f->longs, NULL)) != -1) {
		const struct cx_opt *o = find_row(f, c);

		if (c == WORD && syntax->rest && args->nwords == syntax->max) {
			take_tail(args, syntax, argv + optind - 1);
			return 0;
		}
		if (c == WORD)
			args->words[args->nwords++] = optarg;
		else if (o == NULL)
			return bad_option(f, c, argv, err);
		else if (set_value(args, o, optarg, err) < 0)
			return -err->errnum;
	}
	args->dashes = optind < argc; /* getopt went over "--" only if something is left */
	take_tail(args, syntax, argv + optind);
	return 0;
}

int cx_args_parse(struct cx_args *args, const struct cx_syntax *syntax, int argc, char **argv,
		  struct cx_err *err)
{
	struct forms f;

	cx_args_free(args);
	args->words = calloc((size_t)argc + 1, sizeof *args->words);
	if (args->words == NULL)
		return cx_fail(err, ENOMEM, "arguments");
	make_forms(&f, syntax->tables);
	if (read_all(args, syntax, &f, argc, argv, err) < 0)
		return -err->errnum;
	if (args->help)
		return 0; /* then it does not matter what else is missing */
	if (args->nwords < syntax->min ||
	    (args->nrest == 0 && (syntax->rest == CX_REST_NEEDED ||
				  (syntax->rest == CX_REST_OR_CODE && !cx_args_have_code(args)))))
		return cx_refuse(err, CX_INVALID, "something is missing: %s", syntax->words);
	if (args->nwords > syntax->max)
		return cx_refuse(err, CX_INVALID, "'%.60s' is one word too many",
				 args->words[syntax->max]);
	return 0;
}

void cx_args_help(const struct cx_opt *const *tables, FILE *to)
{
	for (; *tables != NULL; tables++)
		for (const struct cx_opt *o = *tables; o->name != NULL; o++) {
			char left[64], letter[5] = "    ";

			if (o->letter != 0)
				(void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
			(void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name,
				       o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
			(void)fprintf(to, "  %-32s %s\n", left, o->help);
		}
}
