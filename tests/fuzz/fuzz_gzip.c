/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image/stream.c, which inflates with ISA-L, against zlib: whatever zlib takes it takes too, and
 * what both take has the same bytes. The first byte says whether the rest is a file as it is, or
 * what to make one of.
 */
#include <zlib.h>

#include "image/stream.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKED_MAX = 1 << 16, OUT_MAX = 1 << 20, GZIP_WINDOW = 15 + 16 };

struct bytes {
	size_t len;
	uint8_t p[OUT_MAX];
};

/* Members of up to 64 bytes each, repeated to matter, then a few bytes changed. */
static size_t pack(struct input *in, uint8_t how, uint8_t *out)
{
	static uint8_t plain[1 << 14];
	size_t len = 0;

	while (in->left > 0 && len < PACKED_MAX / 2) {
		z_stream z = { .avail_out = (unsigned)(PACKED_MAX - len), .next_out = out + len };
		size_t n = take_byte(in) % 64U, times = (size_t)1 << (take_byte(in) % 9), at = 0;

		n = n < in->left ? n : in->left;
		for (; times > 0; times--, at += n)
			memcpy(plain + at, in->p, n);
		in->p += n;
		in->left -= n;
		z.next_in = plain;
		z.avail_in = (unsigned)at;
		if (deflateInit2(&z, how % 10, Z_DEFLATED, GZIP_WINDOW, 8, how % 5) != Z_OK ||
		    deflate(&z, Z_FINISH) != Z_STREAM_END || deflateEnd(&z) != Z_OK)
			abort();
		len = PACKED_MAX - z.avail_out;
	}
	return len;
}

/* As stream.h says: members, zeros between and behind them, nothing else. */
static bool by_zlib(const uint8_t *packed, size_t len, struct bytes *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (unsigned)len };
	int r = Z_OK;

	out->len = 0;
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		abort();
	while (r == Z_OK) {
		z.next_out = out->p + out->len;
		z.avail_out = (unsigned)(OUT_MAX - out->len);
		r = inflate(&z, Z_NO_FLUSH);
		out->len = OUT_MAX - z.avail_out;
		if (r != Z_STREAM_END)
			continue;
		while (z.avail_in > 0 && *z.next_in == 0) {
			z.next_in++;
			z.avail_in--;
		}
		if (z.avail_in == 0)
			break;
		r = *z.next_in == 0x1f ? inflateReset(&z) : Z_DATA_ERROR;
	}
	if (inflateEnd(&z) != Z_OK)
		abort();
	return r == Z_STREAM_END;
}

static bool by_us(int fd, struct bytes *out)
{
	struct cx_stream *stream;
	struct cx_err err = { 0 };
	const void *piece;
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) != 0 ||
	    cx_stream_open(fd, OUT_MAX, CX_STREAM_OUTER | CX_STREAM_INNER, &stream, &err) < 0)
		abort();
	out->len = 0;
	while ((n = cx_stream_next(stream, &piece, &err)) > 0) {
		memcpy(out->p + out->len, piece, (size_t)n); /* OUT_MAX is its limit */
		out->len += (size_t)n;
	}
	cx_stream_free(stream);
	if (n < 0 && err.errnum == 0)
		abort();
	return n == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static struct bytes theirs, ours;
	static uint8_t packed[PACKED_MAX];
	struct input in = { data, size };
	uint8_t how = take_byte(&in), changes = how >> 6;
	size_t len = in.left < sizeof packed ? in.left : sizeof packed;
	bool fine;

	if (fd < 0)
		fd = memory_file();
	if (how == 0)
		memcpy(packed, in.p, len);
	else
		len = pack(&in, how, packed);
	for (; how != 0 && len > 0 && size > 8 && changes > 0; changes--)
		packed[(data[changes] * 256U + data[changes + 1]) % len] ^= data[changes + 2];
	if (len < 2 || packed[0] != 0x1f || packed[1] != 0x8b)
		return 0;
	fill_file(fd, packed, len);
	fine = by_zlib(packed, len, &theirs);
	if (by_us(fd, &ours)) {
		if (fine && (ours.len != theirs.len || memcmp(ours.p, theirs.p, ours.len) != 0))
			abort();
	} else if (fine && theirs.len < OUT_MAX) {
		abort();
	}
	return 0;
}
