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

const char *cx_number_show_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < CX_LEN(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(buf, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return buf;
}
