/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate. What was understood of a challenge, written down in the plainest way, must be
 * understood as the same again.
 */
#include <stdio.h>

#include "fetch/challenge.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *quote(char *to, const char *name, const char *value)
{
	to += sprintf(to, "%s=\"", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			*to++ = '\\';
		*to++ = *value;
	}
	*to++ = '"';
	*to = '\0';
	return to;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cx_autofree char *text = strndup((const char *)data, size);
	struct cx_challenge c, again;
	char plain[2 * sizeof c + 64], *at = plain;
	struct cx_err err;

	if (text == NULL || cx_challenge_parse(text, &c, &err) < 0)
		return 0;
	at += sprintf(at, "%s ", c.scheme == CX_SCHEME_BASIC ? "Basic" : "Bearer");
	at = quote(at, "realm", c.realm);
	at = quote(at + sprintf(at, ","), "service", c.service);
	at = quote(at + sprintf(at, ","), "scope", c.scope);
	at = quote(at + sprintf(at, ","), "error", c.error);
	if (cx_challenge_parse(plain, &again, &err) < 0 || again.scheme != c.scheme ||
	    strcmp(again.realm, c.realm) != 0 || strcmp(again.service, c.service) != 0 ||
	    strcmp(again.scope, c.scope) != 0 || strcmp(again.error, c.error) != 0)
		abort();
	return 0;
}
