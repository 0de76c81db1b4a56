/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_TABLE_H
#define CX_CLI_TABLE_H

#include <stdio.h>

#include "base/buf.h"

/*
 * Text in columns as wide as their widest cell, two spaces between. Cells are counted in characters
 * of UTF-8; control characters become '?', so that a name cannot drive the reader's terminal.
 */
enum { CX_TABLE_COLUMNS_MAX = 12 };

struct cx_table { /* zero it, set columns */
	unsigned columns;
	unsigned ncells;
	unsigned width[CX_TABLE_COLUMNS_MAX];
	struct cx_buf text; /* the cells, each ended by NUL */
};

/* Cells come row by row. NULL is shown as "-". */
CX_MUST int cx_table_add(struct cx_table *table, const char *cell, struct cx_err *err);
void cx_table_print(const struct cx_table *table, FILE *to);
void cx_table_free(struct cx_table *table); /* for CX_AUTO() */

#endif
