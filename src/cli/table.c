/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <string.h>

#include "base/clean.h"

enum { TEXT_MAX = 256 << 20 };

static unsigned shown_width(const char *text)
{
	unsigned n = 0;

	for (const char *p = text; *p != '\0'; p++)
		n += ((unsigned char)*p & 0xc0) != 0x80; /* not a continuation byte */
	return n;
}

int cx_table_add(struct cx_table *table, const char *cell, struct cx_err *err)
{
	const char *text = cell != NULL && *cell != '\0' ? cell : "-";
	unsigned column = table->ncells % table->columns, width = shown_width(text);

	assert(table->columns > 0 && table->columns <= CX_TABLE_COLUMNS_MAX);
	table->text.max = TEXT_MAX;
	if (cx_buf_add(&table->text, text, strlen(text) + 1, err) < 0)
		return -err->errnum;
	cx_clean(table->text.p + table->text.len - strlen(text) - 1, strlen(text));
	if (width > table->width[column])
		table->width[column] = width;
	table->ncells++;
	return 0;
}

void cx_table_print(const struct cx_table *table, FILE *to)
{
	const char *cell = table->text.p;

	for (unsigned i = 0; i < table->ncells; i++, cell += strlen(cell) + 1) {
		unsigned column = i % table->columns;
		unsigned pad = table->width[column] - shown_width(cell) + 2;

		if (column + 1 < table->columns)
			(void)fprintf(to, "%s%*s", cell, (int)pad, "");
		else
			(void)fprintf(to, "%s\n", cell);
	}
}

void cx_table_free(struct cx_table *table)
{
	cx_buf_free(&table->text);
	table->ncells = 0;
}
