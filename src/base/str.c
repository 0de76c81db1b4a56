/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cx_format(char *buf, size_t size, const char *fmt, struct cx_err *err, ...)
{
	va_list args;
	int n;

	va_start(args, err);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size)
		return cx_refuse(err, CX_INVALID, "name of %d bytes is longer than %zu", n,
				 size - 1);
	return n;
}

int cx_parse_u64(const char *text, uint64_t min, uint64_t max, const char *what, uint64_t *ret,
		 struct cx_err *err)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return cx_refuse(err, CX_INVALID, "%s '%.40s' is too large", what, text);
	if (p == text || *p != '\0')
		return cx_refuse(err, CX_INVALID, "%s '%.40s' is not a whole number", what, text);
	if (v < min || v > max)
		return cx_refuse(err, CX_INVALID, "%s is %.40s; allowed are %llu to %llu", what,
				 text, (unsigned long long)min, (unsigned long long)max);
	*ret = v;
	return 0;
}

void cx_to_hex(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cx_from_hex(const char *text, uint8_t *out, size_t len)
{
	if (strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int hi = nibble(text[2 * i]), lo = nibble(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

bool cx_is_plain_name(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len == 0 || len > max || text[0] == '.' || text[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
		      (text[i] >= '0' && text[i] <= '9') || strchr("_.-", text[i]) != NULL))
			return false;
	return true;
}
