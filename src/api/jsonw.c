/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jsonw.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ESCAPED_MAX = 6 }; /* bytes that one becomes */

static void put(struct cx_jsonw *w, const char *p, size_t len)
{
	if (w->err.errnum == 0)
		(void)!cx_buf_add(w->out, p, len, &w->err);
}

static void put_text(struct cx_jsonw *w, const char *text)
{
	put(w, text, strlen(text));
}

/* The length of the UTF-8 sequence at p, or 0: overlong forms and surrogates are none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max;
		unsigned length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < CX_LEN(forms); i++) {
		if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
			continue;
		if (left < forms[i].length || p[1] < forms[i].second_min ||
		    p[1] > forms[i].second_max)
			return 0;
		for (unsigned k = 2; k < forms[i].length; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static size_t escape(unsigned char c, char to[ESCAPED_MAX])
{
	static const char from[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt",
			  hex[] = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(from, c) : NULL;

	to[0] = '\\';
	to[1] = at != NULL ? names[at - from] : 'u';
	if (at != NULL)
		return 2;
	to[2] = to[3] = '0';
	to[4] = hex[c >> 4];
	to[5] = hex[c & 15];
	return ESCAPED_MAX;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The character at p, or what stands for it; *ret_n: how many bytes it was. */
static size_t encode(const unsigned char *p, size_t left, char to[ESCAPED_MAX], size_t *ret_n)
{
	static const char unknown[] = "\xef\xbf\xbd";
	size_t n = p[0] >= 0x80 ? utf8_length(p, left) : 1;

	*ret_n = n > 0 ? n : 1;
	if (p[0] < 0x80)
		return escape(p[0], to);
	memcpy(to, n > 0 ? (const void *)p : unknown, n > 0 ? n : sizeof unknown - 1);
	return n > 0 ? n : sizeof unknown - 1;
}

/* In pieces: tens of megabytes of hostile output must not hold up the others for long. */
static void put_string(struct cx_jsonw *w, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	char piece[4096];
	size_t used = 0, n;

	put(w, "\"", 1);
	for (size_t i = 0; i < len && w->err.errnum == 0; i += n) {
		if (used > sizeof piece - ESCAPED_MAX) {
			put(w, piece, used);
			used = 0;
		}
		n = 1;
		if (is_plain(p[i]))
			piece[used++] = s[i];
		else
			used += encode(p + i, len - i, piece + used, &n);
	}
	put(w, piece, used);
	put(w, "\"", 1);
}

static void begin(struct cx_jsonw *w, const char *key)
{
	if (w->comma)
		put(w, ",", 1);
	w->comma = true;
	if (key == NULL)
		return;
	put_string(w, key, strlen(key));
	put(w, ":", 1);
}

static void open_level(struct cx_jsonw *w, const char *key, const char *open, char closing)
{
	assert(w->depth < CX_JSONW_DEPTH);
	begin(w, key);
	put(w, open, 1);
	w->close[w->depth++] = closing;
	w->comma = false;
}

void cx_jsonw_object(struct cx_jsonw *w, const char *key)
{
	open_level(w, key, "{", '}');
}

void cx_jsonw_array(struct cx_jsonw *w, const char *key)
{
	open_level(w, key, "[", ']');
}

void cx_jsonw_end(struct cx_jsonw *w)
{
	assert(w->depth > 0);
	put(w, &w->close[--w->depth], 1);
	w->comma = true;
}

void cx_jsonw_bytes(struct cx_jsonw *w, const char *key, const char *p, size_t len)
{
	begin(w, key);
	put_string(w, p, len);
}

void cx_jsonw_text(struct cx_jsonw *w, const char *key, const char *text)
{
	if (text == NULL)
		cx_jsonw_null(w, key);
	else
		cx_jsonw_bytes(w, key, text, strlen(text));
}

void cx_jsonw_int(struct cx_jsonw *w, const char *key, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%" PRId64, value);

	begin(w, key);
	put(w, text, (size_t)n);
}

void cx_jsonw_real(struct cx_jsonw *w, const char *key, double value)
{
	char text[40];
	int n = snprintf(text, sizeof text, "%.15g", value);

	begin(w, key);
	put(w, text, (size_t)n);
	/* 1 and 1.0 are one number, but some typed readers tell them apart. */
	if (strpbrk(text, ".e") == NULL)
		put_text(w, ".0");
}

void cx_jsonw_bool(struct cx_jsonw *w, const char *key, bool value)
{
	begin(w, key);
	put_text(w, value ? "true" : "false");
}

void cx_time_text(int64_t ms, char ret[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char date[24] = "";

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret, 32, "%s.%03dZ", date, (int)(ms % 1000));
}

void cx_jsonw_time(struct cx_jsonw *w, const char *key, int64_t ms)
{
	char text[32];

	cx_time_text(ms, text);
	cx_jsonw_text(w, key, ms != 0 ? text : NULL);
}

void cx_jsonw_null(struct cx_jsonw *w, const char *key)
{
	begin(w, key);
	put_text(w, "null");
}

void cx_jsonw_raw(struct cx_jsonw *w, const char *key, const char *json)
{
	begin(w, key);
	put_text(w, json);
}

int cx_jsonw_finish(struct cx_jsonw *w, struct cx_err *err)
{
	assert(w->depth == 0);
	if (w->err.errnum == 0)
		return 0;
	*err = w->err;
	return cx_wrap(err, "answer");
}
