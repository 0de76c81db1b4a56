/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_AEAD_H
#define CX_API_AEAD_H

#include "api/keyfile.h"
#include "base/buf.h"

/*
 * Sealed bytes (XChaCha20-Poly1305, a random nonce before them): they open under the same key and
 * for the same owner only, which is any text or number that says whose they are.
 */
enum { CX_AEAD_EXTRA = 24 + 16 }; /* bytes that sealing adds */

struct cx_aead {
	const uint8_t *key; /* CX_KEYFILE_BYTES, borrowed */
	const void *owner;
	size_t owner_len;
};

/* Both append to ret; what was opened is wiped by its owner. */
CX_MUST int cx_aead_seal(const struct cx_aead *with, const void *plain, size_t len,
			 struct cx_buf *ret, struct cx_err *err);
/* CX_DENIED: it was sealed with another key or for another owner, or was changed. */
CX_MUST int cx_aead_open(const struct cx_aead *with, const void *box, size_t len,
			 struct cx_buf *ret, struct cx_err *err);

#endif
