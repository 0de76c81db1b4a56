/* SPDX-License-Identifier: Apache-2.0 */
#include "api/head.h"

#include <http_parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- taking apart ---------------------------------------------------------------------------- */

struct parse {
	struct cx_head *head;
	bool named; /* the last field has a name and no value yet */
	bool too_many, whole;
};

static int on_target(http_parser *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	if (p->head->target.len > 0)
		return -1;
	p->head->target = (struct cx_str){ at, (uint32_t)len };
	return 0;
}

static int on_reason(http_parser *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	p->head->reason = (struct cx_str){ at, (uint32_t)len };
	return 0;
}

/* All of the head is given at once, so a name or a value comes at once too. */
static int on_name(http_parser *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	if (p->head->nfields == CX_HEAD_FIELDS_MAX) {
		p->too_many = true;
		return -1;
	}
	if (p->named)
		return -1;
	p->head->fields[p->head->nfields].name = (struct cx_str){ at, (uint32_t)len };
	p->named = true;
	return 0;
}

/* A value in several parts is one that goes on in a further line, which others read otherwise. */
static int on_value(http_parser *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	if (!p->named)
		return -1;
	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	p->head->fields[p->head->nfields++].value = (struct cx_str){ at, (uint32_t)len };
	p->named = false;
	return 0;
}

static int on_fields_end(http_parser *parser)
{
	(void)parser;
	return 1; /* the body is not the parser's */
}

static int on_end(http_parser *parser)
{
	struct parse *p = parser->data;

	p->whole = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_target,
	.on_status = on_reason,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_fields_end,
	.on_message_complete = on_end,
};

/* ---- looking at fields ----------------------------------------------------------------------- */

static bool is(struct cx_str text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.p, word, text.len) == 0;
}

/* The same to those who read '_' as '-', too. */
static bool is_called(struct cx_str name, const char *lower)
{
	size_t i = 0;

	for (; i < name.len && lower[i] != '\0' && lower[i] != '*'; i++)
		if ((name.p[i] == '_' ? '-' : name.p[i] | 0x20) != lower[i])
			return false;
	return lower[i] == '*' || (i == name.len && lower[i] == '\0');
}

/* The only field with this name; a second one is counted. */
static unsigned find(const struct cx_head *head, const char *name, struct cx_str *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < head->nfields; i++)
		if (is(head->fields[i].name, name) && n++ == 0)
			*ret = head->fields[i].value;
	return n;
}

/* Takes the next word of a list with commas. False: there is none. */
static bool next_word(struct cx_str *list, struct cx_str *ret)
{
	const char *comma;
	size_t len;

	while (list->len > 0 && strchr(", \t", list->p[0]) != NULL) {
		list->p++;
		list->len--;
	}
	if (list->len == 0)
		return false;
	comma = memchr(list->p, ',', list->len);
	len = comma != NULL ? (size_t)(comma - list->p) : list->len;
	*ret = (struct cx_str){ list->p, (uint32_t)len };
	list->p += len;
	list->len -= (uint32_t)len;
	while (ret->len > 0 && strchr(" \t", ret->p[ret->len - 1]) != NULL)
		ret->len--;
	return true;
}

/* Is it among what a field "Connection" names? */
static bool is_of_connection(const struct cx_head *head, struct cx_str name)
{
	struct cx_str list, word;

	for (unsigned i = 0; i < head->nfields; i++) {
		list = head->fields[i].value;
		while (is(head->fields[i].name, "Connection") && next_word(&list, &word))
			if (word.len == name.len && strncasecmp(word.p, name.p, name.len) == 0)
				return true;
	}
	return false;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool is_token(struct cx_str text)
{
	for (uint32_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return text.len > 0;
}

static bool is_line(struct cx_str text)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (((unsigned char)text.p[i] < ' ' && text.p[i] != '\t') || text.p[i] == 0x7f)
			return false;
	return true;
}

static int check_fields(const struct cx_head *head, struct cx_err *err)
{
	for (unsigned i = 0; i < head->nfields; i++)
		if (!is_token(head->fields[i].name) || !is_line(head->fields[i].value))
			return cx_refuse(err, CX_INVALID, "a header field that is none");
	return 0;
}

static int read_length(struct cx_str text, uint64_t *ret, struct cx_err *err)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || text.len > 18)
			return cx_refuse(err, CX_INVALID, "a Content-Length that is no number");
		n = n * 10 + (unsigned)(text.p[i] - '0');
	}
	if (text.len == 0)
		return cx_refuse(err, CX_INVALID, "an empty Content-Length");
	*ret = n;
	return 0;
}

/* One length or chunks, never both, nor anything that somebody could take for one. */
static int read_framing(struct cx_head *head, enum cx_framing_kind otherwise, struct cx_err *err)
{
	struct cx_str length = { 0 }, coding = { 0 };
	unsigned lengths = find(head, "Content-Length", &length);
	unsigned codings = find(head, "Transfer-Encoding", &coding);
	uint64_t n = 0;

	if (lengths + codings > 1)
		return cx_refuse(err, CX_INVALID,
				 "it is not clear where the body ends: there is more "
				 "than one Content-Length or Transfer-Encoding");
	if (codings == 1 && (!is(coding, "chunked") || head->old))
		return cx_refuse(err, CX_INVALID, "a Transfer-Encoding that is not 'chunked'");
	if (lengths == 1 && read_length(length, &n, err) < 0)
		return -err->errnum;
	head->framing = cx_framing_of(codings == 1   ? CX_FRAMED_CHUNKS
				      : lengths == 1 ? CX_FRAMED_LENGTH
						     : otherwise,
				      n);
	return 0;
}

static void find_upgrade(struct cx_head *head)
{
	struct cx_str to = { 0 };

	/* HTTP/2 in the clear would carry requests that nobody has looked at. */
	if (find(head, "Upgrade", &to) == 1 && !head->old && !is(to, "h2c") &&
	    is_of_connection(head, cx_str_of("Upgrade")))
		head->upgrade = to;
}

static int parse(enum http_parser_type type, const char *bytes, size_t len, http_parser *parser,
		 struct cx_head *ret, struct cx_err *err)
{
	struct parse p = { .head = ret };
	size_t n;

	*ret = (struct cx_head){ .nfields = 0 };
	http_parser_init(parser, type);
	parser->data = &p;
	n = http_parser_execute(parser, &settings, bytes, len);
	if (p.too_many)
		return cx_refuse(err, CX_LIMIT, "more than %d header fields", CX_HEAD_FIELDS_MAX);
	if (!p.whole || n != len || p.named || parser->http_major != 1 || parser->http_minor > 1)
		return cx_refuse(err, CX_INVALID, "this is no message of HTTP/1.1: %s",
				 http_errno_description(HTTP_PARSER_ERRNO(parser)));
	ret->old = parser->http_minor == 0;
	return check_fields(ret, err);
}

size_t cx_head_end(const char *bytes, size_t len)
{
	const char *end = len > 0 ? memmem(bytes, len, "\r\n\r\n", 4) : NULL;

	return end != NULL ? (size_t)(end - bytes) + 4 : 0;
}

int cx_head_parse_request(const char *bytes, size_t len, struct cx_head *ret, struct cx_err *err)
{
	http_parser parser;
	unsigned hosts;

	if (parse(HTTP_REQUEST, bytes, len, &parser, ret, err) < 0)
		return -err->errnum;
	ret->method = cx_str_of(http_method_str((enum http_method)parser.method));
	hosts = find(ret, "Host", &ret->host);
	if (parser.method == HTTP_CONNECT || !is_line(ret->target) || ret->target.len == 0)
		return cx_refuse(err, CX_INVALID, "a request without a path");
	if (hosts > 1 || (hosts == 0 && !ret->old))
		return cx_refuse(err, CX_INVALID, "a request without exactly one Host");
	if (read_framing(ret, CX_FRAMED_EMPTY, err) < 0)
		return -err->errnum;
	ret->framing.no_trailers = true;
	find_upgrade(ret);
	if (ret->upgrade.len > 0 && !ret->framing.done)
		return cx_refuse(err, CX_INVALID, "a request to upgrade that has a body");
	return 0;
}

int cx_head_parse_answer(const char *bytes, size_t len, bool no_body, struct cx_head *ret,
			 struct cx_err *err)
{
	http_parser parser;

	if (parse(HTTP_RESPONSE, bytes, len, &parser, ret, err) < 0)
		return -err->errnum;
	ret->status = parser.status_code;
	if (ret->status < 100 || ret->status > 999 || !is_line(ret->reason))
		return cx_refuse(err, CX_INVALID, "a status line that is none");
	if (read_framing(ret, CX_FRAMED_TO_END, err) < 0)
		return -err->errnum;
	if (no_body || ret->status < 200 || ret->status == 204 || ret->status == 304)
		ret->framing = cx_framing_of(CX_FRAMED_EMPTY, 0);
	find_upgrade(ret);
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const struct {
	const char *name; /* lower case; with '*' whatever begins so */
	bool in_answer;
	const char *why;
} not_passed[] = {
	{ "connection", true, "concerns one connection" },
	{ "keep-alive", true, "the same" },
	{ "proxy-connection", true, "the same" },
	{ "upgrade", true, "written anew when it counts" },
	{ "http2-settings", true, "belongs to an upgrade that is not passed" },
	{ "te", false, "concerns one connection" },
	{ "proxy-authorization", false, "is meant for a proxy" },
	{ "proxy-authenticate", true, "the same" },
	{ "x-forwarded-*", false, "is ours to say" },
	{ "x-real-ip", false, "the same" },
	{ "forwarded", false, "the same" },
};

/* What says where the body ends and whom it is for is passed whatever "Connection" names. */
static bool is_essential(struct cx_str name)
{
	return is(name, "Host") || is(name, "Content-Length") || is(name, "Transfer-Encoding");
}

static bool is_passed(const struct cx_head *head, struct cx_str name, bool answer)
{
	for (size_t i = 0; i < CX_LEN(not_passed); i++)
		if ((!answer || not_passed[i].in_answer) && is_called(name, not_passed[i].name))
			return false;
	return is_essential(name) || !is_of_connection(head, name);
}

static int add(struct cx_buf *out, struct cx_err *err, ...)
{
	const char *text;
	va_list texts;
	int r = 0;

	va_start(texts, err);
	while (r == 0 && (text = va_arg(texts, const char *)) != NULL)
		r = cx_buf_add(out, text, strlen(text), err);
	va_end(texts);
	return r;
}

static int add_str(struct cx_buf *out, struct cx_str text, struct cx_err *err)
{
	return cx_buf_add(out, text.p, text.len, err);
}

static int add_field(struct cx_buf *out, struct cx_str name, struct cx_str value,
		     struct cx_err *err)
{
	if (add_str(out, name, err) < 0 || add(out, err, ": ", NULL) < 0 ||
	    add_str(out, value, err) < 0)
		return -err->errnum;
	return add(out, err, "\r\n", NULL);
}

static int add_fields(const struct cx_head *head, bool answer, struct cx_buf *out,
		      struct cx_err *err)
{
	for (unsigned i = 0; i < head->nfields; i++)
		if (is_passed(head, head->fields[i].name, answer) &&
		    add_field(out, head->fields[i].name, head->fields[i].value, err) < 0)
			return -err->errnum;
	return 0;
}

/* The last fields, and the empty line. */
static int add_end(const struct cx_head *head, bool last, struct cx_buf *out, struct cx_err *err)
{
	if (head->upgrade.len > 0 &&
	    (add_field(out, cx_str_of("Connection"), cx_str_of("Upgrade"), err) < 0 ||
	     add_field(out, cx_str_of("Upgrade"), head->upgrade, err) < 0))
		return -err->errnum;
	if (head->upgrade.len == 0 && last &&
	    add_field(out, cx_str_of("Connection"), cx_str_of("close"), err) < 0)
		return -err->errnum;
	return add(out, err, "\r\n", NULL);
}

int cx_head_write_request(const struct cx_head *head, const char *client, const char *protocol,
			  struct cx_buf *out, struct cx_err *err)
{
	if (add_str(out, head->method, err) < 0 || add(out, err, " ", NULL) < 0 ||
	    add_str(out, head->target, err) < 0 ||
	    add(out, err, head->old ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n", NULL) < 0 ||
	    add_fields(head, false, out, err) < 0 ||
	    add(out, err, "X-Forwarded-For: ", client, "\r\nX-Forwarded-Proto: ", protocol, "\r\n",
		NULL) < 0)
		return -err->errnum;
	if (head->host.len > 0 &&
	    add_field(out, cx_str_of("X-Forwarded-Host"), head->host, err) < 0)
		return -err->errnum;
	return add_end(head, true, out, err);
}

int cx_head_write_answer(const struct cx_head *head, struct cx_buf *out, struct cx_err *err)
{
	char status[16];

	(void)snprintf(status, sizeof status, " %u ", head->status);
	if (add(out, err, "HTTP/1.1", status, NULL) < 0 || add_str(out, head->reason, err) < 0 ||
	    add(out, err, "\r\n", NULL) < 0 || add_fields(head, true, out, err) < 0)
		return -err->errnum;
	return add_end(head, head->status >= 200, out, err);
}
