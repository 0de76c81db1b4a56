/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_OUTPUT_H
#define CX_CLI_OUTPUT_H

#include "cli/cli.h"

/*
 * How results are shown, as --output says: for people as a table (the default); for programs as
 * json, as yaml, or by a format, which is a text with "{member}" for a member of each result
 * ("{id} {labels}\n" is written "{id} {labels}"; \t, \n and \\ are understood, {a.b} goes deeper).
 */
enum cx_cell {
	CX_CELL_TEXT,	/* as it is */
	CX_CELL_DIGEST, /* its beginning */
	CX_CELL_COUNT,	/* how many items an array has */
	CX_CELL_BYTES,	/* 1.5 MiB */
};

struct cx_column {
	const char *title, *key; /* key: a member, "a.b" for one of a member */
	enum cx_cell cell;
};

/* False: it is to be shown as a table, which is the caller's or one of the two below. */
bool cx_output_is_data(const struct cx_cli *cli);
/* Any value as data, JSON unless something else is asked for. A format goes to each item of an
 * array. */
CX_MUST int cx_output_data(const struct cx_cli *cli, json_t *value, struct cx_err *err);

/* An array of objects: a row each. */
CX_MUST int cx_output_list(const struct cx_cli *cli, json_t *list, const struct cx_column *columns,
			   size_t n, struct cx_err *err);
/* One object: a row for each member that says something. */
CX_MUST int cx_output_object(const struct cx_cli *cli, json_t *object, struct cx_err *err);

#endif
