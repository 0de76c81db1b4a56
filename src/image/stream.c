/* SPDX-License-Identifier: Apache-2.0 */
#include "image/stream.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK = 1 << 17 };

struct format {
	const char *name;
	uint8_t magic[4];
	size_t magic_len;
	int (*open)(struct cx_stream *s, struct cx_err *err);
	/* Takes from in[at .. have), gives piece; *ret_len 0 asks for more input. */
	int (*decode)(struct cx_stream *s, size_t *ret_len, struct cx_err *err);
	int (*close)(struct cx_stream *s, struct cx_err *err); /* at the end of the input */
};

struct cx_stream {
	int fd;
	uint64_t max_bytes;
	const struct format *format;
	EVP_MD_CTX *outer, *inner; /* NULL when nobody wants to know */
	uint64_t outer_bytes, inner_bytes;
	struct inflate_state gzip;
	ZSTD_DCtx *zstd;
	bool open_frame; /* the input must not end here */
	bool eof;
	size_t at, have;
	const uint8_t *piece; /* of in or out */
	uint8_t in[CHUNK], out[CHUNK];
};

/* ---- formats -------------------------------------------------------------------------------- */

static int plain_open(struct cx_stream *s, struct cx_err *err)
{
	(void)s;
	(void)err;
	return 0;
}

static int plain_decode(struct cx_stream *s, size_t *ret_len, struct cx_err *err)
{
	(void)err;
	*ret_len = s->have - s->at;
	s->piece = s->in + s->at;
	s->at = s->have;
	return 0;
}

static int plain_close(struct cx_stream *s, struct cx_err *err)
{
	return s->open_frame ? cx_refuse(err, CX_INVALID, "the %s data ends in the middle",
					 s->format->name)
			     : 0;
}

static int gzip_open(struct cx_stream *s, struct cx_err *err)
{
	(void)err;
	isal_inflate_init(&s->gzip);
	s->gzip.crc_flag = ISAL_GZIP; /* header, checksum and size are looked at */
	s->open_frame = true;
	return 0;
}

/* Behind a member: another one, or padding of zeros as tape and block writers leave it. */
static int gzip_next_member(struct cx_stream *s, struct cx_err *err)
{
	while (s->at < s->have && s->in[s->at] == 0)
		s->at++;
	if (s->at == s->have)
		return 0;
	if (s->in[s->at] != 0x1f)
		return cx_refuse(err, CX_INVALID, "bytes behind the end of the gzip data");
	isal_inflate_reset(&s->gzip);
	s->open_frame = true;
	return 0;
}

static const char *gzip_error(int r)
{
	static const struct {
		int error;
		const char *text;
	} errors[] = {
		{ ISAL_INVALID_BLOCK, "invalid block" },
		{ ISAL_INVALID_SYMBOL, "invalid symbol" },
		{ ISAL_INVALID_LOOKBACK, "invalid distance" },
		{ ISAL_INVALID_WRAPPER, "invalid header" },
		{ ISAL_UNSUPPORTED_METHOD, "unknown compression method" },
		{ ISAL_INCORRECT_CHECKSUM, "wrong checksum" },
	};

	for (size_t i = 0; i < CX_LEN(errors); i++)
		if (errors[i].error == r)
			return errors[i].text;
	return "inflate failed";
}

static int gzip_decode(struct cx_stream *s, size_t *ret_len, struct cx_err *err)
{
	int r;

	if (!s->open_frame && gzip_next_member(s, err) < 0)
		return -err->errnum;
	*ret_len = 0;
	if (!s->open_frame)
		return 0;
	s->gzip.next_in = s->in + s->at;
	s->gzip.avail_in = (uint32_t)(s->have - s->at);
	s->gzip.next_out = s->out;
	s->gzip.avail_out = sizeof s->out;
	r = isal_inflate(&s->gzip); /* without input, too: it may hold output back */
	s->at = s->have - s->gzip.avail_in;
	*ret_len = sizeof s->out - s->gzip.avail_out;
	s->piece = s->out;
	if (r != ISAL_DECOMP_OK)
		return cx_refuse(err, CX_INVALID, "bad gzip data: %s", gzip_error(r));
	s->open_frame = s->gzip.block_state != ISAL_BLOCK_FINISH;
	return 0;
}

static int zstd_open(struct cx_stream *s, struct cx_err *err)
{
	s->zstd = ZSTD_createDCtx();
	if (s->zstd == NULL)
		return cx_fail(err, ENOMEM, "zstd");
	s->open_frame = true;
	return 0;
}

static int zstd_decode(struct cx_stream *s, size_t *ret_len, struct cx_err *err)
{
	ZSTD_inBuffer in = { s->in + s->at, s->have - s->at, 0 };
	ZSTD_outBuffer out = { s->out, sizeof s->out, 0 };
	size_t r = ZSTD_decompressStream(s->zstd, &out, &in);

	if (ZSTD_isError(r))
		return cx_refuse(err, CX_INVALID, "bad zstd data: %s", ZSTD_getErrorName(r));
	s->at += in.pos;
	*ret_len = out.pos;
	s->piece = s->out;
	if (in.pos > 0 || out.pos > 0) /* without input it only says what it would like next */
		s->open_frame = r != 0;
	return 0;
}

static const struct format formats[] = {
	{ "gzip", { 0x1f, 0x8b }, 2, gzip_open, gzip_decode, plain_close },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, zstd_open, zstd_decode, plain_close },
	{ "tar", { 0 }, 0, plain_open, plain_decode, plain_close },
};

/* ---- the stream ----------------------------------------------------------------------------- */

static int new_hash(bool wanted, EVP_MD_CTX **ret, struct cx_err *err)
{
	if (!wanted)
		return 0;
	*ret = EVP_MD_CTX_new();
	if (*ret == NULL || EVP_DigestInit_ex(*ret, EVP_sha256(), NULL) != 1)
		return cx_fail(err, ENOMEM, "archive");
	return 0;
}

int cx_stream_open(int fd, uint64_t max_bytes, unsigned hashed, struct cx_stream **ret,
		   struct cx_err *err)
{
	struct cx_stream *s = calloc(1, sizeof *s);

	if (s == NULL)
		return cx_fail(err, ENOMEM, "archive");
	s->fd = fd;
	s->max_bytes = max_bytes;
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG,
				  NULL); /* no file decides what SHA-256 is */
	if (new_hash((hashed & CX_STREAM_OUTER) != 0, &s->outer, err) < 0 ||
	    new_hash((hashed & CX_STREAM_INNER) != 0, &s->inner, err) < 0) {
		cx_stream_free(s);
		return -err->errnum;
	}
	*ret = s;
	return 0;
}

void cx_stream_free(struct cx_stream *s)
{
	if (s == NULL)
		return;
	(void)ZSTD_freeDCtx(s->zstd);
	EVP_MD_CTX_free(s->outer);
	EVP_MD_CTX_free(s->inner);
	free(s);
}

/* What is not wrapped has one digest, which the inner one is. */
static bool is_wrapped(const struct cx_stream *s)
{
	return s->format->decode != plain_decode;
}

static int hash(EVP_MD_CTX *sum, const void *data, size_t len, struct cx_err *err)
{
	if (sum != NULL && EVP_DigestUpdate(sum, data, len) != 1)
		return cx_fail(err, EIO, "hash the archive");
	return 0;
}

/* Reads more behind the first "keep" bytes; at the end of the file nothing is added. */
static int refill(struct cx_stream *s, size_t keep, struct cx_err *err)
{
	ssize_t n;

	do
		n = read(s->fd, s->in + keep, sizeof s->in - keep);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return cx_fail(err, errno, "read the archive");
	if (s->format != NULL && is_wrapped(s) && hash(s->outer, s->in + keep, (size_t)n, err) < 0)
		return -err->errnum;
	s->at = 0;
	s->have = keep + (size_t)n;
	s->eof = n == 0;
	s->outer_bytes += (uint64_t)n;
	return 0;
}

/* By the first bytes, which a pipe may give in pieces. */
static int choose_format(struct cx_stream *s, struct cx_err *err)
{
	while (s->have < sizeof formats[0].magic && !s->eof)
		if (refill(s, s->have, err) < 0)
			return -err->errnum;
	for (size_t i = 0; i < CX_LEN(formats) && s->format == NULL; i++)
		if (s->have >= formats[i].magic_len &&
		    memcmp(s->in, formats[i].magic, formats[i].magic_len) == 0)
			s->format = &formats[i];
	if (is_wrapped(s) && hash(s->outer, s->in, s->have, err) < 0)
		return -err->errnum;
	return s->format->open(s, err);
}

static int next_decoded(struct cx_stream *s, size_t *ret_len, struct cx_err *err)
{
	*ret_len = 0;
	if (s->format == NULL && choose_format(s, err) < 0)
		return -err->errnum;
	while (*ret_len == 0) {
		size_t before = s->have - s->at;

		if (s->format->decode(s, ret_len, err) < 0)
			return -err->errnum;
		if (*ret_len > 0 || s->have - s->at < before)
			continue;
		if (s->eof)
			return s->format->close(s, err);
		if (refill(s, 0, err) < 0)
			return -err->errnum;
	}
	return 0;
}

ssize_t cx_stream_next(struct cx_stream *s, const void **ret, struct cx_err *err)
{
	size_t len;

	if (next_decoded(s, &len, err) < 0)
		return -err->errnum;
	if (len > s->max_bytes - s->inner_bytes)
		return cx_refuse(err, CX_LIMIT, "the archive holds more than %llu bytes",
				 (unsigned long long)s->max_bytes);
	s->inner_bytes += len;
	if (hash(s->inner, s->piece, len, err) < 0)
		return -err->errnum;
	*ret = s->piece;
	return (ssize_t)len;
}

static int finish_hash(EVP_MD_CTX *sum, uint8_t ret[32], struct cx_err *err)
{
	if (sum != NULL && EVP_DigestFinal_ex(sum, ret, NULL) != 1)
		return cx_fail(err, EIO, "hash the archive");
	return 0;
}

int cx_stream_sums(struct cx_stream *s, struct cx_stream_sums *ret, struct cx_err *err)
{
	struct cx_stream_sums sums = { .outer_bytes = s->outer_bytes,
				       .inner_bytes = s->inner_bytes };

	if (finish_hash(s->inner, sums.inner, err) < 0 ||
	    finish_hash(s->outer, sums.outer, err) < 0)
		return -err->errnum;
	if (!is_wrapped(s) && s->outer != NULL)
		memcpy(sums.outer, sums.inner, sizeof sums.outer);
	*ret = sums;
	return 0;
}
