/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/challenge.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { TOKEN_MAX = 64 };

struct scanner {
	const char *at;
	bool broken;
};

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip(struct scanner *s, const char *chars)
{
	s->at += strspn(s->at, chars);
}

static bool accept(struct scanner *s, char c)
{
	if (*s->at != c)
		return false;
	s->at++;
	return true;
}

static void put(struct scanner *s, char *to, size_t size, size_t *len, char c)
{
	if (*len + 1 >= size)
		s->broken = true;
	else
		to[(*len)++] = c;
}

/* One or more token characters. */
static void scan_token(struct scanner *s, char *to, size_t size)
{
	size_t len = 0;

	while (is_token_char(*s->at) && !s->broken)
		put(s, to, size, &len, *s->at++);
	to[len] = '\0';
	s->broken |= len == 0;
}

static void scan_quoted(struct scanner *s, char *to, size_t size)
{
	size_t len = 0;

	while (!s->broken && *s->at != '"') {
		if (*s->at == '\\')
			s->at++;
		if ((unsigned char)*s->at < ' ' || *s->at == 0x7f)
			s->broken = true; /* the text's end, too */
		else
			put(s, to, size, &len, *s->at++);
	}
	to[len] = '\0';
	s->at += !s->broken;
}

static void scan_value(struct scanner *s, char *to, size_t size)
{
	skip(s, " \t");
	if (accept(s, '"'))
		scan_quoted(s, to, size);
	else
		scan_token(s, to, size);
}

/*
 * A name, "=" and a value. A name alone is the next scheme; "=" at the end is the padding of a
 * token68, which the schemes have that we do not know.
 */
static bool at_parameter(const struct scanner *s)
{
	const char *p = s->at;

	while (is_token_char(*p))
		p++;
	if (p == s->at)
		return false;
	p += strspn(p, " \t");
	if (*p++ != '=')
		return false;
	p += strspn(p, " \t");
	return *p != '=' && *p != ',' && *p != '\0';
}

static void scan_parameter(struct scanner *s, struct cx_challenge *c)
{
	char name[TOKEN_MAX], other[CX_LEN(c->realm)];
	struct {
		const char *name;
		char *to;
		size_t size;
	} const wanted[] = {
		{ "realm", c->realm, sizeof c->realm },
		{ "service", c->service, sizeof c->service },
		{ "scope", c->scope, sizeof c->scope },
		{ "error", c->error, sizeof c->error },
	};

	scan_token(s, name, sizeof name);
	skip(s, " \t");
	if (s->broken || !accept(s, '='))
		return;
	for (size_t i = 0; i < CX_LEN(wanted); i++) {
		if (strcasecmp(name, wanted[i].name) != 0)
			continue;
		s->broken = *wanted[i].to != '\0'; /* twice: which one counts? */
		if (!s->broken)
			scan_value(s, wanted[i].to, wanted[i].size);
		return;
	}
	scan_value(s, other, sizeof other);
}

static void scan_challenge(struct scanner *s, struct cx_challenge *c)
{
	char scheme[TOKEN_MAX];

	*c = (struct cx_challenge){ .scheme = CX_SCHEME_NONE };
	scan_token(s, scheme, sizeof scheme);
	if (s->broken)
		return;
	skip(s, " \t");
	if (!s->broken && s->at[-1] == ' ' && !at_parameter(s)) /* a token68, or nothing */
		s->at += strcspn(s->at, ",");
	while (!s->broken && at_parameter(s)) {
		scan_parameter(s, c);
		skip(s, " \t");
		if (*s->at != ',' && *s->at != '\0')
			s->broken = true;
		skip(s, " \t,");
	}
	if (strcasecmp(scheme, "basic") == 0)
		c->scheme = CX_SCHEME_BASIC;
	else if (strcasecmp(scheme, "bearer") == 0 && c->realm[0] != '\0')
		c->scheme = CX_SCHEME_BEARER;
}

int cx_challenge_parse(const char *text, struct cx_challenge *ret, struct cx_err *err)
{
	struct scanner s = { .at = text };
	struct cx_challenge best = { .scheme = CX_SCHEME_NONE }, c;

	for (skip(&s, " \t,"); *s.at != '\0' && !s.broken; skip(&s, " \t,")) {
		scan_challenge(&s, &c);
		if (c.scheme > best.scheme)
			best = c;
	}
	if (s.broken)
		return cx_refuse(err, CX_INVALID, "malformed challenge '%.200s'", text);
	if (best.scheme == CX_SCHEME_NONE)
		return cx_refuse(err, CX_INVALID,
				 "it wants neither a password nor a token, but '%.200s'", text);
	*ret = best;
	return 0;
}
