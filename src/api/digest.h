/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_DIGEST_H
#define CX_API_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The door to libcrypto: SHA-256 of bytes as they come. */
struct cx_digest;

CX_MUST int cx_digest_new(struct cx_digest **ret, struct cx_err *err);
void cx_digest_free(struct cx_digest *digest); /* NULL is fine */
/* Begins anew. */
CX_MUST int cx_digest_reset(struct cx_digest *digest, struct cx_err *err);
CX_MUST int cx_digest_add(struct cx_digest *digest, const void *data, size_t len,
			  struct cx_err *err);
CX_MUST int cx_digest_get(struct cx_digest *digest, uint8_t ret[32], struct cx_err *err);
/* Of what is all there. */
CX_MUST int cx_digest_of(const void *data, size_t len, uint8_t ret[32], struct cx_err *err);

#endif
