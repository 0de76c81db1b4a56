/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/moving.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/loop.h"
#include "base/str.h"
#include "cli/number.h"
#include "cli/term.h"

enum { PATIENCE_MS = 500, FRAME_MS = 100, LINE_MAX_BYTES = 400 };

void cx_moving_begin(struct cx_moving *m)
{
	m->bytes = 0;
	m->drawn = false;
	m->began_ms = m->drawn_ms = cx_now_ms();
}

/* "\rname  12.0/45.6 MiB  3.2 MiB/s", as much as fits in a line. */
static void draw(struct cx_moving *m, uint64_t now_ms)
{
	char line[LINE_MAX_BYTES], amount[64], rate[32];
	uint64_t ms = now_ms - m->began_ms;
	uint16_t rows, cols;
	size_t len;

	cx_term_size(STDERR_FILENO, &rows, &cols);
	if (m->total > 0)
		(void)cx_number_show_part(m->bytes, m->total, amount, sizeof amount);
	else
		(void)cx_number_show_bytes(m->bytes, amount, sizeof amount);
	(void)cx_number_show_bytes(ms > 0 ? m->bytes * 1000 / ms : 0, rate, sizeof rate);
	(void)snprintf(line, sizeof line, "%s  %s/s  %s", amount, rate, m->name);
	len = strlen(line);
	cx_clean(line, len);
	(void)fprintf(stderr, "\r%.*s\033[K", cols > 1 ? (int)cols - 1 : 79, line);
	(void)fflush(stderr);
	m->drawn = true;
	m->drawn_ms = now_ms;
}

void cx_moving_add(void *arg, const char *bytes, size_t len)
{
	struct cx_moving *m = arg;
	uint64_t now_ms;

	if (m->bytes == 0 && !m->unsummed)
		cx_sum_begin(&m->sum, m->total > 0 ? m->total : UINT64_MAX);
	if (!m->unsummed)
		cx_sum_add(&m->sum, bytes, len);
	m->bytes += len;
	if (!m->shown)
		return;
	now_ms = cx_now_ms();
	if (now_ms - m->began_ms >= PATIENCE_MS && now_ms - m->drawn_ms >= FRAME_MS)
		draw(m, now_ms);
}

void cx_moving_clear(struct cx_moving *m)
{
	if (m->drawn)
		(void)fputs("\r\033[K", stderr);
	m->drawn = false;
}

void cx_moving_sum(struct cx_moving *m, char hex[CX_MOVING_HEX + 1])
{
	uint8_t sum[32];

	if (m->bytes == 0)
		cx_sum_begin(&m->sum, 0);
	cx_sum_end(&m->sum, sum);
	cx_to_hex(sum, sizeof sum, hex);
}

void cx_moving_print(const char *hex, const char *name)
{
	static const struct {
		char c;
		const char *shown;
	} odd[] = { { '\\', "\\\\" }, { '\n', "\\n" }, { '\r', "\\r" } };

	if (strpbrk(name, "\\\n\r") != NULL)
		(void)putchar('\\');
	(void)printf("%s  ", hex);
	for (; *name != '\0'; name++) {
		const char *shown = NULL;

		for (size_t i = 0; i < CX_LEN(odd); i++)
			if (odd[i].c == *name)
				shown = odd[i].shown;
		if (shown != NULL)
			(void)fputs(shown, stdout);
		else
			(void)putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
	}
	(void)putchar('\n');
}
