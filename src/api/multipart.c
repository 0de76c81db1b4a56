/* SPDX-License-Identifier: Apache-2.0 */
#include "api/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum state {
	PREAMBLE,  /* before the first delimiter */
	DELIMITED, /* on the line of a delimiter, behind it */
	HEADERS,
	CONTENT,
	EPILOGUE, /* behind the last one; ignored */
};

static bool is_token(char c)
{
	return c > ' ' && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Reads a value from *p on, which is left behind it. False: it is no value, or does not fit. */
static bool read_value(const char **p, char *ret, size_t size)
{
	bool quoted = **p == '"';
	size_t n = 0;

	*p += quoted;
	while (**p != '\0' && (quoted ? **p != '"' : **p != ';' && **p != ' ' && **p != '\t')) {
		if (quoted && **p == '\\' && (*p)[1] != '\0')
			++*p;
		if (n + 1 >= size)
			return false;
		ret[n++] = *(*p)++;
	}
	ret[n] = '\0';
	if (quoted && *(*p)++ != '"')
		return false;
	return quoted || n > 0;
}

/* A parameter of a header ("; NAME=value" or "; NAME=\"value\""); false when it has none or two. */
static bool find_param(const char *header, const char *name, char *ret, size_t size)
{
	char value[CX_MULTIPART_HEADERS_MAX];
	bool found = false;

	for (const char *p = strchr(header, ';'); p != NULL && *p == ';'; p += strspn(p, " \t")) {
		size_t len = 0;
		const char *key;

		key = p += 1 + strspn(p + 1, " \t");
		while (is_token(*p)) {
			p++;
			len++;
		}
		if (len == 0 || *p++ != '=' || !read_value(&p, value, sizeof value))
			return false;
		if (len != strlen(name) || strncasecmp(key, name, len) != 0)
			continue;
		if (found || strlen(value) >= size)
			return false;
		strcpy(ret, value);
		found = true;
	}
	return found;
}

int cx_multipart_open(struct cx_multipart *mp, const char *content_type, struct cx_err *err)
{
	static const char type[] = "multipart/form-data";
	char boundary[CX_MULTIPART_BOUNDARY_MAX + 1];

	if (content_type == NULL || strncasecmp(content_type, type, sizeof type - 1) != 0 ||
	    !find_param(content_type, "boundary", boundary, sizeof boundary) ||
	    boundary[0] == '\0' || strpbrk(boundary, "\r\n") != NULL)
		return cx_refuse(err, CX_INVALID,
				 "send the file as multipart/form-data, in a part named '%s'",
				 mp->name);
	mp->len = (size_t)snprintf(mp->delimiter, sizeof mp->delimiter, "\r\n--%s", boundary);
	mp->matched = 2; /* the first delimiter may be the first line */
	mp->state = PREAMBLE;
	mp->line.max = CX_MULTIPART_HEADERS_MAX;
	return 0;
}

void cx_multipart_close(struct cx_multipart *mp)
{
	cx_buf_free(&mp->line);
}

static int emit(struct cx_multipart *mp, const char *p, size_t len, struct cx_err *err)
{
	if (mp->state != CONTENT || !mp->wanted || len == 0)
		return 0;
	return mp->data(mp->arg, p, len, err);
}

/*
 * Looks for the delimiter. A CR is only its first byte, so what turns out not to be it can hold no
 * other beginning of it. Content goes out in one piece, behind what was held back of the bytes
 * before. Returns how many bytes were used.
 */
static ssize_t scan(struct cx_multipart *mp, const char *p, size_t len, struct cx_err *err)
{
	size_t i = 0, held = mp->matched;

	while (i < len && mp->matched < mp->len) {
		if (mp->matched == 0) {
			const char *cr = memchr(p + i, '\r', len - i);

			mp->matched = cr != NULL;
			i = cr != NULL ? (size_t)(cr - p) + 1 : len;
		} else if (p[i] == mp->delimiter[mp->matched]) {
			mp->matched++;
			i++;
		} else {
			if (emit(mp, mp->delimiter, held, err) < 0)
				return -err->errnum;
			mp->matched = held = 0;
		}
	}
	if (emit(mp, p, i - (mp->matched - held), err) < 0)
		return -err->errnum;
	if (mp->matched == mp->len) {
		mp->matched = 0;
		mp->state = DELIMITED;
		mp->line.len = 0;
	}
	return (ssize_t)i;
}

/* Collects a line without its end; *whole says whether it is all there. */
static ssize_t take_line(struct cx_multipart *mp, const char *p, size_t len, bool *whole,
			 struct cx_err *err)
{
	const char *lf = memchr(p, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - p) + 1 : len;

	*whole = lf != NULL;
	mp->header_bytes += n;
	if (mp->header_bytes > CX_MULTIPART_HEADERS_MAX || cx_buf_add(&mp->line, p, n, err) < 0)
		return cx_refuse(err, CX_INVALID, "the headers of a part are longer than %d bytes",
				 CX_MULTIPART_HEADERS_MAX);
	if (!*whole)
		return (ssize_t)n;
	if (mp->line.len < 2 || mp->line.p[mp->line.len - 2] != '\r')
		return cx_refuse(err, CX_INVALID, "a header of a part does not end with CR LF");
	mp->line.len -= 2;
	mp->line.p[mp->line.len] = '\0';
	if (strlen(mp->line.p) != mp->line.len)
		return cx_refuse(err, CX_INVALID, "a header of a part holds a NUL byte");
	return (ssize_t)n;
}

static int begin_part(struct cx_multipart *mp, struct cx_err *err)
{
	if (mp->line.p[strspn(mp->line.p, " \t")] != '\0')
		return cx_refuse(err, CX_INVALID, "there is something behind a boundary");
	if (++mp->parts > CX_MULTIPART_PARTS_MAX)
		return cx_refuse(err, CX_INVALID, "the body has more than %d parts",
				 CX_MULTIPART_PARTS_MAX);
	mp->state = HEADERS;
	mp->wanted = false;
	return 0;
}

static int take_header(struct cx_multipart *mp, struct cx_err *err)
{
	static const char disposition[] = "Content-Disposition:";
	char name[256];

	if (mp->line.p[0] == '\0') {
		mp->state = CONTENT;
		mp->header_bytes = 0;
		if (mp->wanted && mp->seen)
			return cx_refuse(err, CX_INVALID, "the body has more than one file '%s'",
					 mp->name);
		mp->seen = mp->seen || mp->wanted;
		return 0;
	}
	if (strncasecmp(mp->line.p, disposition, sizeof disposition - 1) == 0 &&
	    find_param(mp->line.p, "name", name, sizeof name))
		mp->wanted = strcmp(name, mp->name) == 0;
	return 0;
}

static ssize_t step(struct cx_multipart *mp, const char *p, size_t len, struct cx_err *err)
{
	bool whole;
	ssize_t n;

	if (mp->state == EPILOGUE)
		return (ssize_t)len;
	if (mp->state == PREAMBLE || mp->state == CONTENT)
		return scan(mp, p, len, err);
	/* Behind the last delimiter there need not be a line's end. */
	if (mp->state == DELIMITED && mp->line.len < 2 && p[0] == '-') {
		if (cx_buf_add(&mp->line, p, 1, err) < 0)
			return -err->errnum;
		if (mp->line.len == 2 && mp->line.p[0] == '-')
			mp->state = EPILOGUE;
		return 1;
	}
	n = take_line(mp, p, len, &whole, err);
	if (n < 0 || !whole)
		return n;
	if ((mp->state == DELIMITED ? begin_part(mp, err) : take_header(mp, err)) < 0)
		return -err->errnum;
	mp->line.len = 0;
	return n;
}

int cx_multipart_feed(struct cx_multipart *mp, const char *p, size_t len, struct cx_err *err)
{
	while (len > 0) {
		ssize_t n = step(mp, p, len, err);

		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int cx_multipart_end(const struct cx_multipart *mp, struct cx_err *err)
{
	if (mp->state != EPILOGUE)
		return cx_refuse(err, CX_INVALID,
				 "the body ends before its last boundary; it was cut, or is no "
				 "multipart/form-data");
	if (!mp->seen)
		return cx_refuse(err, CX_INVALID, "the body has no part named '%s'", mp->name);
	return 0;
}
