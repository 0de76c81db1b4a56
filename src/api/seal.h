/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SEAL_H
#define CX_API_SEAL_H

#include "api/keyfile.h"
#include "api/sealed_store.h"

/*
 * What clients give to a sandbox in confidence, while it waits for its image: sealed
 * (XChaCha20-Poly1305) under the key in secret.key of the gateway's state directory, so that the
 * database and its copies are worth nothing without that file. A box opens for its own sandbox
 * only.
 */
struct cx_seal {
	int dir; /* borrowed */
	uint8_t key[CX_KEYFILE_BYTES];
};

/* At start; makes the key at the first one, and ends a change of keys that was cut short. */
CX_MUST int cx_seal_open(struct cx_seal *ret, int dir, struct cx_store *store, struct cx_err *err);

CX_MUST int cx_seal_put(const struct cx_seal *seal, struct cx_store *store, int64_t sandbox,
			const struct cx_buf *plain, struct cx_err *err);
/* 1: appended to plain, whose owner wipes it; 0: there is none. CX_DENIED: another key sealed it.
 */
CX_MUST int cx_seal_get(const struct cx_seal *seal, struct cx_store *store, int64_t sandbox,
			struct cx_buf *plain, struct cx_err *err);

/* A new key for all boxes; the old one is gone from the disk. Returns how many boxes there were. */
CX_MUST int cx_seal_rotate(struct cx_seal *seal, struct cx_store *store, struct cx_err *err);

#endif
