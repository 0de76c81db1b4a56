/* SPDX-License-Identifier: Apache-2.0 */
#include "api/excerpt.h"

#include <string.h>

enum { MOST = CX_EXCERPT_HEAD + CX_EXCERPT_TAIL };

void cx_excerpt_clear(struct cx_excerpt *excerpt)
{
	cx_buf_free(&excerpt->kept);
	excerpt->bytes = 0;
	excerpt->cut = false;
}

/* Where in the stream the bytes behind the head begin. */
static uint64_t tail_begins(const struct cx_excerpt *e)
{
	return e->bytes - (e->kept.len > CX_EXCERPT_HEAD ? e->kept.len - CX_EXCERPT_HEAD : 0);
}

static int add_all(struct cx_excerpt *e, const char *p, size_t len, struct cx_err *err)
{
	if (len == 0)
		return 0;
	e->kept.max = e->kept.len + len;
	return cx_buf_add(&e->kept, p, len, err);
}

static void drop_middle(struct cx_excerpt *e, size_t n)
{
	if (n == 0)
		return;
	memmove(e->kept.p + CX_EXCERPT_HEAD, e->kept.p + CX_EXCERPT_HEAD + n,
		e->kept.len - CX_EXCERPT_HEAD - n);
	e->kept.len -= n;
}

int cx_excerpt_add(struct cx_excerpt *e, uint64_t offset, const char *p, size_t len,
		   struct cx_err *err)
{
	size_t room = e->kept.len < CX_EXCERPT_HEAD ? CX_EXCERPT_HEAD - e->kept.len : 0;
	size_t head = len < room ? len : room;
	size_t rest = len - head, over;

	if (len == 0)
		return 0;
	if (offset < e->bytes || (offset > e->bytes && room > 0))
		return cx_refuse(err, CX_INVALID, "output that does not fit to what was there");
	if (add_all(e, p, head, err) < 0)
		return -err->errnum;
	if (offset > e->bytes || rest >= CX_EXCERPT_TAIL) /* what was newest is not next to it */
		e->kept.len = head > 0 ? e->kept.len : CX_EXCERPT_HEAD;
	e->bytes = offset + len;
	if (rest > CX_EXCERPT_TAIL)
		rest = CX_EXCERPT_TAIL;
	over = e->kept.len + rest > MOST ? e->kept.len + rest - MOST : 0;
	drop_middle(e, over);
	return add_all(e, p + (len - rest), rest, err);
}

void cx_excerpt_read(const struct cx_excerpt *e, uint64_t *offset, const char **ret_p,
		     size_t *ret_len)
{
	size_t head = e->kept.len < CX_EXCERPT_HEAD ? e->kept.len : CX_EXCERPT_HEAD;

	*ret_p = "";
	*ret_len = 0;
	if (*offset < head) {
		*ret_p = e->kept.p + *offset;
		*ret_len = e->bytes == e->kept.len ? e->kept.len - (size_t)*offset
						   : head - (size_t)*offset;
		return;
	}
	if (*offset < tail_begins(e))
		*offset = tail_begins(e);
	if (*offset > e->bytes)
		*offset = e->bytes;
	*ret_len = (size_t)(e->bytes - *offset);
	if (*ret_len > 0)
		*ret_p = e->kept.p + (e->kept.len - *ret_len);
}
