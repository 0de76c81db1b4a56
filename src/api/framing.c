/* SPDX-License-Identifier: Apache-2.0 */
#include "api/framing.h"

enum { DIGITS_MAX = 15 }; /* of a chunk's size: no sum of it overflows */

/* Of chunks: what is expected next. */
enum state { SIZE, EXTENSION, SIZE_END, DATA, DATA_CR, DATA_END, LINE, TRAILER, TRAILER_END, END };

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool take_size(struct cx_framing *f, char c)
{
	int value = hex_value(c);

	if (value >= 0 && f->digits < DIGITS_MAX) {
		f->left = f->left * 16 + (unsigned)value;
		f->digits++;
		return true;
	}
	f->state = c == ';' ? EXTENSION : SIZE_END;
	f->extra = 0;
	return f->digits > 0 && (c == ';' || c == '\r');
}

/* Anything up to the end of the line that could not end one for somebody else. */
static bool take_extra(struct cx_framing *f, char c, enum state behind)
{
	if (c == '\r')
		f->state = behind;
	return c == '\r' ||
	       (((unsigned char)c >= ' ' || c == '\t') && ++f->extra < CX_FRAMING_EXTRA_MAX);
}

static bool end_size(struct cx_framing *f, char c)
{
	f->state = f->left > 0 ? DATA : LINE;
	f->digits = f->extra = 0;
	return c == '\n';
}

/* The first byte of a line behind the last chunk. */
static bool take_line(struct cx_framing *f, char c)
{
	f->state = c == '\r' ? END : TRAILER;
	return c == '\r' || (!f->no_trailers && take_extra(f, c, TRAILER_END));
}

static bool expect(struct cx_framing *f, char c, char wanted, enum state next)
{
	f->state = next;
	return c == wanted;
}

static bool take_byte(struct cx_framing *f, char c)
{
	switch ((enum state)f->state) {
	case SIZE:
		return take_size(f, c);
	case EXTENSION:
		return take_extra(f, c, SIZE_END);
	case SIZE_END:
		return end_size(f, c);
	case DATA:
		return false; /* not byte by byte */
	case DATA_CR:
		return expect(f, c, '\r', DATA_END);
	case DATA_END:
		return expect(f, c, '\n', SIZE);
	case LINE:
		return take_line(f, c);
	case TRAILER:
		return take_extra(f, c, TRAILER_END);
	case TRAILER_END:
		return expect(f, c, '\n', LINE);
	case END:
		f->done = true;
		return c == '\n';
	}
	return false;
}

static size_t take_data(struct cx_framing *f, size_t len)
{
	size_t n = len < f->left ? len : (size_t)f->left;

	f->left -= n;
	return n;
}

static size_t take_chunks(struct cx_framing *f, const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && !f->done && !f->broken) {
		if (f->state == DATA) {
			n += take_data(f, len - n);
			if (f->left == 0)
				f->state = DATA_CR;
		} else if (take_byte(f, bytes[n])) {
			n++;
		} else {
			f->broken = true;
			f->done = false;
		}
	}
	return n;
}

size_t cx_framing_take(struct cx_framing *f, const char *bytes, size_t len)
{
	size_t n;

	if (f->done || f->broken)
		return 0;
	if (f->kind == CX_FRAMED_TO_END)
		return len;
	if (f->kind == CX_FRAMED_CHUNKS)
		return take_chunks(f, bytes, len);
	n = take_data(f, len);
	f->done = f->left == 0;
	return n;
}
