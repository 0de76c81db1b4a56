/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 18 }; /* more would lose precision in a double without anybody noticing */

/* The length of "12", "12.5" or ".5" at the beginning of text; 0 if there is none. */
static size_t number_length(const char *text)
{
	size_t whole = strspn(text, "0123456789"), fraction = 0;

	if (text[whole] == '.')
		fraction = strspn(text + whole + 1, "0123456789");
	if (whole + fraction == 0)
		return 0;
	return text[whole] == '.' ? whole + 1 + fraction : whole;
}

static int parse_front(const char *text, const char *what, double *ret, size_t *ret_len,
		       struct cx_err *err)
{
	char digits[DIGITS_MAX + 2] = { 0 };
	size_t len = number_length(text);

	if (len == 0)
		return cx_refuse(err, CX_INVALID, "%s '%.40s' is not a positive number", what,
				 text);
	if (len >= sizeof digits)
		return cx_refuse(err, CX_INVALID, "%s '%.40s' has too many digits", what, text);
	memcpy(digits, text, len);
	*ret = strtod(digits, NULL); /* no setlocale() in this program: the point is a point */
	*ret_len = len;
	return 0;
}

int cx_number_parse(const char *text, const char *what, double *ret, struct cx_err *err)
{
	size_t len = 0;
	double value = 0;

	if (parse_front(text, what, &value, &len, err) < 0)
		return -err->errnum;
	if (text[len] != '\0')
		return cx_refuse(err, CX_INVALID, "%s '%.40s' is not a positive number", what,
				 text);
	*ret = value;
	return 0;
}

int cx_number_parse_gib(const char *text, const char *what, double *ret, struct cx_err *err)
{
	static const struct {
		const char *unit;
		double gib;
	} units[] = {
		{ "", 1.0 },	 { "K", 1.0 / 1024 / 1024 }, { "M", 1.0 / 1024 }, { "G", 1.0 },
		{ "T", 1024.0 },
	};
	size_t len = 0;
	double value = 0;

	if (parse_front(text, what, &value, &len, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(units); i++) {
		const char *rest = text + len;
		size_t n = strlen(units[i].unit);

		if (strncasecmp(rest, units[i].unit, n) != 0)
			continue;
		rest += n;
		if (*rest == '\0' ||
		    (n > 0 && (strcasecmp(rest, "B") == 0 || strcasecmp(rest, "iB") == 0))) {
			*ret = value * units[i].gib;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "%s '%.40s' is not a size; write 512M, 1.5G or 2", what,
			 text);
}

static const struct unit {
	const char *name;
	double bytes;
} binary[] = {
	{ "B", 1 },
	{ "KiB", 1024 },
	{ "MiB", 1048576 },
	{ "GiB", 1073741824 },
	{ "TiB", 1099511627776 },
	{ "PiB", 1125899906842624 },
};

static const struct unit *unit_of(uint64_t bytes)
{
	size_t i = 0;

	while (i + 1 < CX_LEN(binary) && (double)bytes >= binary[i + 1].bytes)
		i++;
	return &binary[i];
}

const char *cx_number_show_bytes(uint64_t bytes, char *buf, size_t size)
{
	const struct unit *unit = unit_of(bytes);

	(void)snprintf(buf, size, unit == binary ? "%.0f %s" : "%.1f %s",
		       (double)bytes / unit->bytes, unit->name);
	return buf;
}

const char *cx_number_show_part(uint64_t bytes, uint64_t total, char *buf, size_t size)
{
	const struct unit *unit = unit_of(total);

	(void)snprintf(buf, size, unit == binary ? "%.0f/%.0f %s" : "%.1f/%.1f %s",
		       (double)bytes / unit->bytes, (double)total / unit->bytes, unit->name);
	return buf;
}
