/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_WIRE_H
#define CX_PROTO_WIRE_H

/*
 * The field types of our packets, on bytes that we do not trust. Integers are little-endian; what
 * varies in length carries a 32-bit length in front and has a maximum that the message states.
 * A reader never looks past its end and never allocates: strings are views into the packet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

struct cx_reader {
	const uint8_t *p;
	size_t left;
};

struct cx_writer {
	uint8_t *p;
	size_t left;
};

/* A view, valid as long as the packet it was read from. p is not NUL-terminated. */
struct cx_str {
	const char *p;
	uint32_t len;
};

typedef uint32_t cx_wire_u32;
typedef uint64_t cx_wire_u64;
typedef struct cx_str cx_wire_str;   /* text without NUL */
typedef struct cx_str cx_wire_bytes; /* anything */
typedef struct cx_str cx_wire_strv;  /* strings, each ended by NUL: "a\0b\0" */

static inline struct cx_str cx_str_of(const char *text)
{
	return (struct cx_str){ .p = text, .len = (uint32_t)strlen(text) };
}

/* What a buffer holds; it bounds its length itself. */
static inline struct cx_str cx_str_of_buf(const struct cx_buf *buf)
{
	return (struct cx_str){ .p = buf->p, .len = (uint32_t)buf->len };
}

static inline bool cx_str_equal(struct cx_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* Copies a view and ends it with NUL. False (and "") when it does not fit. */
static inline bool cx_str_copy(struct cx_str s, char *out, size_t size)
{
	if (s.len >= size) {
		out[0] = '\0';
		return false;
	}
	if (s.len > 0)
		memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return true;
}

/* Behind the last byte; an empty view may have no bytes at all, not even an address. */
static inline const char *cx_str_end(struct cx_str s)
{
	return s.len > 0 ? s.p + s.len : s.p;
}

/* for (each string of a strv): item is a NUL-terminated const char *. */
#define CX_STRV_FOREACH(item, strv)                                                          \
	for (const char *item = (strv).p, *item##_end = cx_str_end(strv); item < item##_end; \
	     item += strlen(item) + 1)

static inline size_t cx_strv_count(struct cx_str strv)
{
	size_t n = 0;

	for (uint32_t i = 0; i < strv.len; i++)
		n += strv.p[i] == '\0';
	return n;
}

static inline bool cx_get_u32(struct cx_reader *r, uint32_t *ret, uint32_t max)
{
	uint32_t v = 0;

	if (r->left < 4)
		return false;
	for (unsigned i = 0; i < 4; i++)
		v |= (uint32_t)r->p[i] << (8 * i);
	if (v > max)
		return false;
	*ret = v;
	r->p += 4;
	r->left -= 4;
	return true;
}

static inline bool cx_get_u64(struct cx_reader *r, uint64_t *ret, uint64_t max)
{
	uint64_t v = 0;

	if (r->left < 8)
		return false;
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	if (v > max)
		return false;
	*ret = v;
	r->p += 8;
	r->left -= 8;
	return true;
}

static inline bool cx_get_bytes(struct cx_reader *r, struct cx_str *ret, uint32_t max)
{
	uint32_t len;

	if (!cx_get_u32(r, &len, max) || len > r->left)
		return false;
	*ret = (struct cx_str){ .p = (const char *)r->p, .len = len };
	r->p += len;
	r->left -= len;
	return true;
}

static inline bool cx_get_str(struct cx_reader *r, struct cx_str *ret, uint32_t max)
{
	return cx_get_bytes(r, ret, max) && memchr(ret->p, '\0', ret->len) == NULL;
}

static inline bool cx_get_strv(struct cx_reader *r, struct cx_str *ret, uint32_t max)
{
	return cx_get_bytes(r, ret, max) && (ret->len == 0 || ret->p[ret->len - 1] == '\0');
}

static inline bool cx_put_u32(struct cx_writer *w, const uint32_t *v, uint32_t max)
{
	if (w->left < 4 || *v > max)
		return false;
	for (unsigned i = 0; i < 4; i++)
		w->p[i] = (uint8_t)(*v >> (8 * i));
	w->p += 4;
	w->left -= 4;
	return true;
}

static inline bool cx_put_u64(struct cx_writer *w, const uint64_t *v, uint64_t max)
{
	if (w->left < 8 || *v > max)
		return false;
	for (unsigned i = 0; i < 8; i++)
		w->p[i] = (uint8_t)(*v >> (8 * i));
	w->p += 8;
	w->left -= 8;
	return true;
}

static inline bool cx_put_bytes(struct cx_writer *w, const struct cx_str *s, uint32_t max)
{
	if (s->len > max || w->left < 4 || s->len > w->left - 4)
		return false;
	(void)cx_put_u32(w, &s->len, max);
	if (s->len > 0)
		memcpy(w->p, s->p, s->len);
	w->p += s->len;
	w->left -= s->len;
	return true;
}

static inline bool cx_put_str(struct cx_writer *w, const struct cx_str *s, uint32_t max)
{
	return (s->len == 0 || memchr(s->p, '\0', s->len) == NULL) && cx_put_bytes(w, s, max);
}

static inline bool cx_put_strv(struct cx_writer *w, const struct cx_str *s, uint32_t max)
{
	return (s->len == 0 || s->p[s->len - 1] == '\0') && cx_put_bytes(w, s, max);
}

#endif
