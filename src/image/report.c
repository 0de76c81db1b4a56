/* SPDX-License-Identifier: Apache-2.0 */
#include "image/report.h"

#include <string.h>

static const uint8_t magic[8] = { 'c', 'x', 'r', 'e', 'p', 'o', 'r', '1' };

enum { FIXED = 8 + 4 + 4 + 64 + 24 + 8 + 12 };
static_assert(FIXED + sizeof(((struct cx_err *)0)->msg) <= CX_REPORT_SIZE, "the text fits");

static uint8_t *put(uint8_t *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*p++ = (uint8_t)(value >> (8 * i));
	return p;
}

static uint64_t get(const uint8_t **p, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t) * (*p)++ << (8 * i);
	return value;
}

void cx_report_encode(const struct cx_report *r, uint8_t out[CX_REPORT_SIZE])
{
	uint8_t *p = out;

	memset(out, 0, CX_REPORT_SIZE);
	memcpy(p, magic, sizeof magic);
	p = put(p + sizeof magic, r->ok, 4);
	p = put(p, r->kind, 4);
	memcpy(p, r->blob_id, 32);
	memcpy(p + 32, r->diff_id, 32);
	p = put(p + 64, r->blob_bytes, 8);
	p = put(p, r->tar_bytes, 8);
	p = put(p, r->image_bytes, 8);
	p = put(p, r->entries, 4);
	p = put(p, r->skipped, 4);
	p = put(p, r->err.refused ? 0 : (uint32_t)r->err.errnum, 4);
	p = put(p, r->err.kind, 4);
	p = put(p, r->err.len, 4);
	if (!r->ok)
		memcpy(p, r->err.msg, r->err.len);
}

int cx_report_decode(const uint8_t *bytes, size_t len, struct cx_report *ret, struct cx_err *err)
{
	struct cx_report r = { .ok = false };
	const uint8_t *p = bytes;
	uint64_t ok, errnum, kind, text;

	if (len != CX_REPORT_SIZE || memcmp(bytes, magic, sizeof magic) != 0)
		return cx_refuse(err, CX_INTERNAL, "the worker ended without a report");
	p += sizeof magic;
	ok = get(&p, 4);
	r.kind = (uint32_t)get(&p, 4);
	memcpy(r.blob_id, p, 32);
	memcpy(r.diff_id, p + 32, 32);
	p += 64;
	r.blob_bytes = get(&p, 8);
	r.tar_bytes = get(&p, 8);
	r.image_bytes = get(&p, 8);
	r.entries = (uint32_t)get(&p, 4);
	r.skipped = (uint32_t)get(&p, 4);
	errnum = get(&p, 4);
	kind = get(&p, 4);
	text = get(&p, 4);
	if (ok > 1 || r.kind >= CX_REPORT_KIND_MAX || kind >= CX_KIND_MAX ||
	    text >= sizeof r.err.msg)
		return cx_refuse(err, CX_INTERNAL, "the worker sent a malformed report");
	r.ok = ok == 1;
	if (!r.ok)
		(void)cx_err_adopt(&r.err, (uint32_t)kind, (uint32_t)errnum, (const char *)p,
				   (size_t)text);
	*ret = r;
	return 0;
}
