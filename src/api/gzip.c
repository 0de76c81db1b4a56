/* SPDX-License-Identifier: Apache-2.0 */
#include "api/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 }; /* of deflateInit2(): the largest, with gzip's header */

/* "q" of one item "gzip;q=0.5": none is 1, what is no number is 0. */
static double weight(const char *item, size_t len)
{
	const char *semicolon = memchr(item, ';', len);
	const char *q = semicolon;

	if (semicolon == NULL)
		return 1;
	q += 1 + strspn(q + 1, " \t");
	return strncasecmp(q, "q=", 2) == 0 ? strtod(q + 2, NULL) : 0;
}

bool cx_gzip_is_accepted(const char *accept_encoding)
{
	bool any = false;

	for (const char *p = accept_encoding; p != NULL && *p != '\0';) {
		size_t len, name;

		p += strspn(p, ", \t");
		len = strcspn(p, ",");
		name = strcspn(p, ",; \t");
		if (name == 4 && strncasecmp(p, "gzip", 4) == 0)
			return weight(p, len) > 0;
		if (name == 1 && *p == '*')
			any = weight(p, len) > 0;
		p += len;
	}
	return any;
}

static bool deflate_all(z_stream *z, struct cx_buf *out)
{
	struct cx_err err;
	char *to = cx_buf_reserve(out, out->max, &err);

	if (to == NULL)
		return false;
	z->next_out = (Bytef *)to;
	z->avail_out = (uInt)out->max;
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return false;
	out->len = z->total_out;
	return true;
}

bool cx_gzip_pack(struct cx_buf *buf)
{
	/* What does not get smaller by a byte has no room. */
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = buf->len > 0 ? buf->len - 1 : 0 };
	z_stream z = { 0 };
	size_t max = buf->max;
	bool packed;

	if (buf->len < CX_GZIP_MIN || buf->len > CX_GZIP_MAX)
		return false;
	/* zlib reads and never writes there, whatever its older headers say. */
	memcpy(&z.next_in, &buf->p, sizeof z.next_in);
	z.avail_in = (uInt)buf->len;
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	packed = deflate_all(&z, &out);
	(void)deflateEnd(&z);
	if (!packed)
		return false;
	cx_buf_free(buf);
	*buf = out;
	buf->max = max;
	out = (struct cx_buf){ 0 };
	return true;
}

static int inflate_all(z_stream *z, struct cx_buf *out, struct cx_err *err)
{
	enum { PIECE = 64 << 10 };
	int r = Z_OK;

	while (r == Z_OK) {
		size_t room = out->max - out->len;
		size_t piece = room < PIECE ? room : PIECE;
		char *to = cx_buf_reserve(out, piece, err);

		if (to == NULL)
			return -err->errnum;
		z->next_out = (Bytef *)to;
		z->avail_out = (uInt)piece;
		r = inflate(z, Z_NO_FLUSH);
		out->len += piece - z->avail_out;
		if (r == Z_BUF_ERROR && room == 0)
			return cx_refuse(err, CX_LIMIT, "more than %zu bytes when unpacked",
					 out->max);
	}
	if (r != Z_STREAM_END || z->avail_in > 0)
		return cx_refuse(err, CX_INVALID, "what is packed is no whole gzip file");
	return 0;
}

int cx_gzip_unpack(const char *data, size_t len, struct cx_buf *out, struct cx_err *err)
{
	z_stream z = { 0 };
	int r;

	if (len > UINT32_MAX)
		return cx_refuse(err, CX_LIMIT, "%zu packed bytes", len);
	memcpy(&z.next_in, &data, sizeof z.next_in); /* read only, as above */
	z.avail_in = (uInt)len;
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return cx_fail(err, ENOMEM, "unpack");
	r = inflate_all(&z, out, err);
	(void)inflateEnd(&z);
	return r;
}
