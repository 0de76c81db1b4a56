/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/reply.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/jsonload.h"

enum { ERRORS_MAX = 3 };

struct words { /* text under construction, cut where it is full */
	char *to;
	size_t len;
};

/* ASCII only: whatever is cut from it later, it stays text that can be passed on. */
static void add(struct words *w, const char *text)
{
	for (; *text != '\0' && w->len + 1 < CX_WORDS_SIZE; text++) {
		unsigned char c = (unsigned char)*text;

		w->to[w->len++] = c < ' ' || c >= 0x7f ? '?' : (char)c;
	}
	w->to[w->len] = '\0';
}

static void add_error(struct words *w, const json_t *error)
{
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));

	if (w->len > 0 && (code != NULL || message != NULL))
		add(w, "; ");
	if (code != NULL)
		add(w, code);
	if (code != NULL && message != NULL)
		add(w, ": ");
	if (message != NULL)
		add(w, message);
}

/* {"errors":[{"code","message"}]}, or what others say instead. */
static void say_document(struct words *w, const json_t *root)
{
	static const char *const others[] = { "details", "error_description", "message", "error" };
	const json_t *errors = json_object_get(root, "errors"), *error;
	size_t i;

	json_array_foreach(errors, i, error)
	{
		if (i < ERRORS_MAX)
			add_error(w, error);
	}
	for (i = 0; i < CX_LEN(others) && w->len == 0; i++) {
		const char *text = json_string_value(json_object_get(root, others[i]));

		if (text != NULL)
			add(w, text);
	}
}

/* An HTML page's words, or a plain line: what is between markup, spaces folded, to the line's end.
 */
static void say_text(struct words *w, const char *body, size_t len)
{
	bool markup = false;

	for (size_t i = 0; i < len && body[i] != '\0'; i++) {
		const char one[2] = { body[i] == '\n' || body[i] == '\r' ? ' ' : body[i] };

		if (body[i] == '<')
			markup = true;
		else if (body[i] == '>' && markup)
			markup = false;
		else if (!markup && (one[0] != ' ' || (w->len > 0 && w->to[w->len - 1] != ' ')))
			add(w, one);
	}
	while (w->len > 0 && w->to[w->len - 1] == ' ')
		w->to[--w->len] = '\0';
}

void cx_reply_words(const char *body, size_t len, char ret[CX_WORDS_SIZE])
{
	CX_AUTO(json_decrefp) json_t *root = cx_json_load(body, len, JSON_REJECT_DUPLICATES, NULL);
	struct words w = { .to = ret };

	ret[0] = '\0';
	if (json_is_object(root))
		say_document(&w, root);
	else if (root == NULL)
		say_text(&w, body, len);
}

/* What RFC 6750 allows as a token. */
static bool is_token(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"-._~+/=:!|");

	return n > 0 && text[n] == '\0';
}

int cx_reply_token(const char *body, size_t len, char ret_token[CX_TOKEN_SIZE],
		   uint32_t *ret_seconds, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *root = cx_json_load(body, len, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_string_value(json_object_get(root, "token"));
	const json_t *expires = json_object_get(root, "expires_in");
	json_int_t seconds = json_integer_value(expires);

	if (token == NULL || *token == '\0')
		token = json_string_value(json_object_get(root, "access_token"));
	if (token == NULL || !is_token(token) || strlen(token) >= CX_TOKEN_SIZE)
		return cx_refuse(err, CX_INVALID, "the answer holds no usable token");
	memcpy(ret_token, token, strlen(token) + 1);
	*ret_seconds = seconds < CX_TOKEN_SECONDS	? CX_TOKEN_SECONDS
		       : seconds > CX_TOKEN_SECONDS_MAX ? CX_TOKEN_SECONDS_MAX
							: (uint32_t)seconds;
	return 0;
}
