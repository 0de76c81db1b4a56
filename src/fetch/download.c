/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/download.h"

#include <openssl/evp.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	REHASH_BYTES = 4 << 20, /* in one turn, so that the others are not held up */
	PIECE = 256 << 10,
	PUMP_BYTES = 1 << 20,
};

static int new_hash(struct cx_download *d, struct cx_err *err)
{
	if (d->hash == NULL)
		d->hash = EVP_MD_CTX_new();
	if (d->hash == NULL || EVP_DigestInit_ex(d->hash, EVP_sha256(), NULL) != 1)
		return cx_fail(err, ENOMEM, "SHA-256");
	return 0;
}

int cx_download_open(struct cx_download *ret, int file, int pipe, uint64_t max, uint64_t begin,
		     struct cx_err *err)
{
	*ret = (struct cx_download){
		.open = true, .file = file, .pipe = pipe, .max = max, .begin = begin
	};
	if (new_hash(ret, err) < 0 || (pipe >= 0 && cx_set_nonblock(pipe, true, err) < 0))
		return -err->errnum;
	/* What is there must be what is said to be there, and nothing behind it. */
	if (begin > max || lseek(file, 0, SEEK_END) < (off_t)begin)
		return cx_refuse(err, CX_INVALID, "the file does not hold %llu bytes",
				 (unsigned long long)begin);
	if (ftruncate(file, (off_t)begin) < 0)
		return cx_fail(err, errno, "cut the file");
	return 0;
}

void cx_download_close(struct cx_download *d)
{
	if (!d->open)
		return;
	d->open = false;
	EVP_MD_CTX_free(d->hash);
	d->hash = NULL;
	cx_close(&d->file);
	cx_close(&d->pipe);
}

static int hash(struct cx_download *d, const void *data, size_t len, struct cx_err *err)
{
	if (EVP_DigestUpdate(d->hash, data, len) != 1)
		return cx_fail(err, EIO, "SHA-256");
	return 0;
}

int cx_download_rehash(struct cx_download *d, struct cx_err *err)
{
	cx_autofree uint8_t *piece = malloc(PIECE);
	uint64_t end = d->begin - d->have < REHASH_BYTES ? d->begin : d->have + REHASH_BYTES;

	if (piece == NULL)
		return cx_fail(err, ENOMEM, "read the file");
	while (d->have < end) {
		size_t want = end - d->have < PIECE ? (size_t)(end - d->have) : PIECE;
		ssize_t n = pread(d->file, piece, want, (off_t)d->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cx_fail(err, n < 0 ? errno : EIO, "read the file");
		if (hash(d, piece, (size_t)n, err) < 0)
			return -err->errnum;
		d->have += (uint64_t)n;
	}
	return d->have < d->begin;
}

static int write_at(struct cx_download *d, const uint8_t *data, size_t len, struct cx_err *err)
{
	uint64_t at = d->have;

	while (len > 0) {
		ssize_t n = pwrite(d->file, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cx_fail(err, n < 0 ? errno : EIO, "write the file");
		data += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

int cx_download_add(struct cx_download *d, const void *data, size_t len, struct cx_err *err)
{
	const uint8_t *bytes = data;
	size_t known = d->skip < len ? (size_t)d->skip : len;

	d->skip -= known;
	bytes += known;
	len -= known;
	if (len > d->max - d->have)
		return cx_refuse(err, CX_INVALID, "more than %llu bytes came",
				 (unsigned long long)d->max);
	if (write_at(d, bytes, len, err) < 0 || hash(d, bytes, len, err) < 0)
		return -err->errnum;
	d->have += len; /* only now: the pipe is never ahead of the file */
	return 0;
}

bool cx_download_restart(struct cx_download *d)
{
	struct cx_err lost;

	if (d->piped > 0 || ftruncate(d->file, 0) < 0 || new_hash(d, &lost) < 0)
		return false;
	d->begin = d->have = d->skip = 0;
	return true;
}

int cx_download_digest(struct cx_download *d, uint8_t ret[32], struct cx_err *err)
{
	return EVP_DigestFinal_ex(d->hash, ret, NULL) == 1 ? 0 : cx_fail(err, EIO, "SHA-256");
}

bool cx_download_pump(struct cx_download *d)
{
	uint64_t budget = PUMP_BYTES;

	while (d->open && d->pipe >= 0 && d->piped < d->have && budget > 0) {
		uint64_t left = d->have - d->piped;
		off_t at = (off_t)d->piped;
		ssize_t n = sendfile(d->pipe, d->file, &at, left < budget ? left : budget);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) { /* mostly EPIPE: who does not read does not want it */
			cx_close(&d->pipe);
			return false;
		}
		d->piped += (uint64_t)n;
		budget -= (uint64_t)n;
	}
	return d->open && d->pipe >= 0 && d->piped < d->have;
}
