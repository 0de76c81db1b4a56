/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"

static const struct {
	const char *name;
	int syslog; /* sd-daemon(3) prefix */
} levels[CX_LOG_MAX] = {
	[CX_LOG_ERROR] = { "error", 3 },
	[CX_LOG_WARNING] = { "warning", 4 },
	[CX_LOG_INFO] = { "info", 6 },
	[CX_LOG_DEBUG] = { "debug", 7 },
};

/* The one sink of a process, set by its main(). */
static struct {
	const char *program;
	enum cx_level most;
	bool journal;
} sink = { "caisson", CX_LOG_INFO, false };

struct line {
	char text[2048];
	size_t len;
};

static void put(struct line *l, const char *text, size_t len)
{
	size_t room = sizeof l->text - 1 - l->len;

	if (len > room)
		len = room;
	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void put_str(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void put_value(struct line *l, const char *value)
{
	bool quote = *value == '\0' || strpbrk(value, " \t\n\"=\\") != NULL;
	size_t begin = l->len;

	if (quote)
		put_str(l, "\"");
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			put_str(l, "\\");
		put(l, value, 1);
	}
	cx_clean(l->text + begin, l->len - begin);
	if (quote)
		put_str(l, "\"");
}

static void put_head(struct line *l, enum cx_level level)
{
	char head[64];
	struct timespec now;
	struct tm tm;

	if (sink.journal) {
		(void)snprintf(head, sizeof head, "<%d>", levels[level].syslog);
		put_str(l, head);
		return;
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
	put_str(l, head);
	(void)snprintf(head, sizeof head, ".%06ldZ %s %s ", now.tv_nsec / 1000, levels[level].name,
		       sink.program);
	put_str(l, head);
}

static void record(enum cx_level level, const struct cx_err *err, const char *text, va_list args)
{
	struct line l = { .len = 0 };
	char why[640];
	const char *key;

	put_head(&l, level);
	put_str(&l, text);
	while ((key = va_arg(args, const char *)) != NULL) {
		put_str(&l, " ");
		put_str(&l, key);
		put_str(&l, "=");
		put_value(&l, va_arg(args, const char *));
	}
	if (err != NULL) {
		put_str(&l, " error=");
		put_value(&l, cx_err_render(err, why, sizeof why));
	}
	l.text[l.len++] = '\n'; /* put() always leaves room for this byte */
	(void)!write(STDERR_FILENO, l.text, l.len);
}

void cx_log_open(const char *program, enum cx_level most)
{
	sink.program = program;
	sink.most = most;
	sink.journal = getenv("JOURNAL_STREAM") != NULL;
}

int cx_log_parse_level(const char *text, enum cx_level *ret, struct cx_err *err)
{
	for (unsigned i = 0; i < CX_LOG_MAX; i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret = (enum cx_level)i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "log level '%.20s': use error, warning, info or debug",
			 text);
}

void cx_log(enum cx_level level, const char *text, ...)
{
	va_list args;

	if (level > sink.most)
		return;
	va_start(args, text);
	record(level, NULL, text, args);
	va_end(args);
}

void cx_log_err(enum cx_level level, const struct cx_err *err, const char *text, ...)
{
	va_list args;

	if (level > sink.most)
		return;
	va_start(args, text);
	record(level, err, text, args);
	va_end(args);
}
