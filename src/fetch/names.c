/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/names.h"

#include <string.h>

#include "base/str.h"

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM  LOWER UPPER DIGITS

static const char prefix[] = "sha256:";

static bool only(struct cx_str text, const char *chars)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (text.p[i] == '\0' || strchr(chars, text.p[i]) == NULL)
			return false;
	return text.len > 0;
}

/* Cuts text at its first c: what is in front is returned, text becomes what is behind. */
static struct cx_str cut(struct cx_str *text, char c)
{
	const char *at = text->len > 0 ? memchr(text->p, c, text->len) : NULL;
	struct cx_str head = { text->p, at != NULL ? (uint32_t)(at - text->p) : text->len };

	*text = at != NULL ? (struct cx_str){ at + 1, text->len - head.len - 1 }
			   : (struct cx_str){ NULL, 0 };
	return head;
}

bool cx_name_is_host(struct cx_str text)
{
	struct cx_str rest = text, name;
	bool has_port;

	if (text.len > 0 && text.p[0] == '[') {
		name = cut(&rest, ']');
		if (!only(name, "[:." DIGITS "abcdefABCDEF") || name.len < 3 ||
		    memrchr(name.p, '[', name.len) != name.p || rest.p == NULL)
			return false;
		has_port = rest.len > 0;
		if (has_port && cut(&rest, ':').len != 0)
			return false;
	} else {
		name = cut(&rest, ':');
		if (!only(name, ALNUM ".-_") || name.p[0] == '-' || name.p[0] == '.')
			return false;
		has_port = name.len < text.len;
	}
	return !has_port || (only(rest, DIGITS) && rest.len <= 5);
}

bool cx_name_is_repository(struct cx_str text)
{
	struct cx_str rest = text;

	if (text.len == 0 || text.p[text.len - 1] == '/')
		return false;
	while (rest.len > 0) {
		struct cx_str part = cut(&rest, '/');

		if (!only(part, LOWER DIGITS "._-") || part.p[0] == '.')
			return false;
	}
	return true;
}

bool cx_name_is_reference(struct cx_str text)
{
	char copy[CX_DIGEST_SIZE];
	uint8_t digest[32];

	if (text.len > 0 && memchr(text.p, ':', text.len) != NULL)
		return cx_str_copy(text, copy, sizeof copy) && cx_name_to_digest(copy, digest);
	return only(text, ALNUM "._-") && text.p[0] != '.' && text.p[0] != '-' && text.len <= 128;
}

bool cx_name_is_media_type(struct cx_str text)
{
	return only(text, ALNUM "!#$&^_.+-/") && memchr(text.p, '/', text.len) != NULL;
}

void cx_name_of_digest(const uint8_t digest[32], char ret[CX_DIGEST_SIZE])
{
	memcpy(ret, prefix, sizeof prefix);
	cx_to_hex(digest, 32, ret + sizeof prefix - 1);
}

bool cx_name_to_digest(const char *text, uint8_t ret[32])
{
	return strncmp(text, prefix, sizeof prefix - 1) == 0 &&
	       cx_from_hex(text + sizeof prefix - 1, ret, 32);
}
