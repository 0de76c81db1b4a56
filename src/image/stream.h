/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_STREAM_H
#define CX_IMAGE_STREAM_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * The bytes of a tar archive, whatever they are wrapped in: nothing, gzip (RFC 1952, several
 * members too) or zstd (RFC 8878), told by the first bytes. Both sides are counted and, if wanted,
 * hashed; gzip's and zstd's own checksums are checked. The door to ISA-L (whose inflate takes less
 * than half of zlib's time), libzstd and libcrypto.
 */
struct cx_stream;

enum { CX_STREAM_OUTER = 1, CX_STREAM_INNER = 2 };

/* fd stays the caller's. max_bytes: of the uncompressed side. hashed: the sums that are wanted, the
 * outer one only with the inner one. */
CX_MUST int cx_stream_open(int fd, uint64_t max_bytes, unsigned hashed, struct cx_stream **ret,
			   struct cx_err *err);
void cx_stream_free(struct cx_stream *stream);

/* The next uncompressed bytes, valid until the next call. Returns their number, 0 at the end. */
CX_MUST ssize_t cx_stream_next(struct cx_stream *stream, const void **ret, struct cx_err *err);

struct cx_stream_sums {
	uint8_t outer[32], inner[32]; /* SHA-256 of what came in, and of the uncompressed bytes */
	uint64_t outer_bytes, inner_bytes;
};
/*
 * Only after cx_stream_next() returned 0: the sums are of the whole then. Those that were not
 * wanted are zeros.
 */
CX_MUST int cx_stream_sums(struct cx_stream *stream, struct cx_stream_sums *ret,
			   struct cx_err *err);

#endif
