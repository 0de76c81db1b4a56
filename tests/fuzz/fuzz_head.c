/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through an exposed port: a head, and the body behind it. The first byte says of what.
 * What is taken is written anew, and that is taken again, as the same message.
 */
#include <stdlib.h>
#include <string.h>

#include "api/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(unsigned how, const char *bytes, size_t len, struct cx_head *ret)
{
	struct cx_err err;

	return (how & 1) == 0 ? cx_head_parse_request(bytes, len, ret, &err)
			      : cx_head_parse_answer(bytes, len, (how & 2) != 0, ret, &err);
}

static void write_again(unsigned how, const struct cx_head *head, struct cx_buf *out)
{
	struct cx_err err;
	int r = (how & 1) == 0 ? cx_head_write_request(head, "::1", "http", out, &err)
			       : cx_head_write_answer(head, out, &err);

	if (r < 0 || cx_head_end(out->p, out->len) != out->len)
		abort();
}

/* In pieces as at once. */
static void take_body(struct cx_framing f, const char *bytes, size_t len, size_t piece)
{
	struct cx_framing other = f;
	size_t n = cx_framing_take(&f, bytes, len), taken = 0, step = 1;

	if (n > len || (f.done && f.broken))
		abort();
	for (size_t at = 0; at < len && step > 0; at += step) {
		step = cx_framing_take(&other, bytes + at, piece < len - at ? piece : len - at);
		taken += step;
	}
	if (taken != n || f.done != other.done || f.broken != other.broken)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 8 * CX_HEAD_MAX };
	struct cx_head head, again;
	const char *bytes = (const char *)data + 1;
	size_t end;

	if (size < 2 || size > CX_HEAD_MAX)
		return 0;
	end = cx_head_end(bytes, size - 1);
	if (end == 0 || parse(data[0], bytes, end, &head) < 0)
		return 0;
	take_body(head.framing, bytes + end, size - 1 - end, 1 + (data[0] >> 2));
	if (head.nfields > CX_HEAD_FIELDS_MAX - 5)
		return 0;
	write_again(data[0], &head, &out);
	if (parse(data[0], out.p, out.len, &again) < 0 || again.status != head.status ||
	    again.framing.kind != head.framing.kind || again.framing.left != head.framing.left ||
	    again.upgrade.len != head.upgrade.len || again.target.len != head.target.len)
		abort();
	return 0;
}
