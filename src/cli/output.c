/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "cli/number.h"
#include "cli/table.h"
#include "cli/yaml.h"

enum { MEMBER_MAX = 128 };

/* A terminal is given ASCII: what stands in an image's documents could drive it. */
static size_t dump_flags(void)
{
	return isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;
}

/* ---- formats -------------------------------------------------------------------------------- */

/* The member that path names, "a.b" by steps; NULL: there is none. */
static json_t *member(json_t *object, const char *path, size_t len)
{
	while (object != NULL) {
		size_t step = strcspn(path, ".") < len ? strcspn(path, ".") : len;
		char key[MEMBER_MAX];

		if (step >= sizeof key)
			return NULL;
		memcpy(key, path, step);
		key[step] = '\0';
		object = json_object_get(object, key);
		if (step == len)
			return object;
		path += step + 1;
		len -= step + 1;
	}
	return NULL;
}

/* A value on one line; the caller's. NULL when there is nothing to show, or no memory. */
static char *text_of(json_t *value)
{
	char *text;

	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_is_string(value))
		text = strdup(json_string_value(value));
	else
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6) |
						 dump_flags());
	if (text != NULL && isatty(STDOUT_FILENO))
		cx_clean(text, strlen(text));
	return text;
}

static void put_escape(char c)
{
	static const char from[] = "tn\\", to[] = "\t\n\\";
	const char *at = strchr(from, c);

	if (at == NULL || c == '\0')
		(void)putchar('\\');
	(void)putchar(at != NULL && c != '\0' ? to[at - from] : c);
}

static void put_formatted(const char *format, json_t *value)
{
	for (const char *p = format; *p != '\0'; p++) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;

		if (end != NULL) {
			cx_autofree char *text =
				text_of(member(value, p + 1, (size_t)(end - p - 1)));

			(void)fputs(text != NULL ? text : "-", stdout);
			p = end;
		} else if (*p == '\\' && p[1] != '\0') {
			put_escape(*++p);
		} else {
			(void)putchar(*p);
		}
	}
	(void)putchar('\n');
}

/* ---- data ----------------------------------------------------------------------------------- */

static bool is(const struct cx_cli *cli, const char *word)
{
	return cli->args.output != NULL && strcmp(cli->args.output, word) == 0;
}

bool cx_output_is_data(const struct cx_cli *cli)
{
	return cli->args.output != NULL && !is(cli, "table");
}

static int print_json(json_t *value, struct cx_err *err)
{
	if (json_dumpf(value, stdout, JSON_INDENT(2) | dump_flags()) < 0 || putchar('\n') == EOF)
		return cx_fail(err, errno, "write the output");
	return 0;
}

int cx_output_data(const struct cx_cli *cli, json_t *value, struct cx_err *err)
{
	const char *output = cli->args.output;
	json_t *item;
	size_t i;

	if (is(cli, "yaml"))
		return cx_yaml_write(value, stdout, !isatty(STDOUT_FILENO), err);
	if (output == NULL || strchr(output, '{') == NULL)
		return print_json(value, err);
	if (!json_is_array(value))
		put_formatted(output, value);
	json_array_foreach(value, i, item) put_formatted(output, item);
	return 0; /* commands.c looks whether standard output took it */
}

/* ---- tables --------------------------------------------------------------------------------- */

/* What a table shows of a value; the caller's, or NULL for nothing. */
static char *cell_of(json_t *value, enum cx_cell cell)
{
	char shown[32];

	switch (cell) {
	case CX_CELL_DIGEST: /* "sha256:" and what tells it from others */
		return json_is_string(value) ? strndup(json_string_value(value), 19) : NULL;
	case CX_CELL_COUNT:
		(void)snprintf(shown, sizeof shown, "%zu", json_array_size(value));
		return strdup(shown);
	case CX_CELL_BYTES:
		if (!json_is_integer(value))
			return NULL;
		(void)cx_number_show_bytes((uint64_t)json_integer_value(value), shown,
					   sizeof shown);
		return strdup(shown);
	case CX_CELL_TEXT:
		break;
	}
	return text_of(value);
}

int cx_output_list(const struct cx_cli *cli, json_t *list, const struct cx_column *columns,
		   size_t n, struct cx_err *err)
{
	CX_AUTO(cx_table_free) struct cx_table table = { .columns = (unsigned)n };
	json_t *item;
	size_t row;

	if (cx_output_is_data(cli))
		return cx_output_data(cli, list, err);
	for (size_t i = 0; i < n; i++)
		if (cx_table_add(&table, columns[i].title, err) < 0)
			return -err->errnum;
	json_array_foreach(list, row, item) for (size_t i = 0; i < n; i++)
	{
		const char *key = columns[i].key;
		cx_autofree char *text = cell_of(member(item, key, strlen(key)), columns[i].cell);

		if (cx_table_add(&table, text, err) < 0)
			return -err->errnum;
	}
	cx_table_print(&table, stdout);
	return 0;
}

int cx_output_object(const struct cx_cli *cli, json_t *object, struct cx_err *err)
{
	CX_AUTO(cx_table_free) struct cx_table table = { .columns = 2 };
	const char *key;
	json_t *value;

	if (cx_output_is_data(cli))
		return cx_output_data(cli, object, err);
	json_object_foreach(object, key, value)
	{
		cx_autofree char *text = text_of(value);

		if (text != NULL &&
		    (cx_table_add(&table, key, err) < 0 || cx_table_add(&table, text, err) < 0))
			return -err->errnum;
	}
	cx_table_print(&table, stdout);
	return 0;
}
