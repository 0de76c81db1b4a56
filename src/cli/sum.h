/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_SUM_H
#define CX_CLI_SUM_H

#include <openssl/sha.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdint.h>

/*
 * SHA-256 of bytes as they come. libcrypto uses what the processor has for it, which is many times
 * as fast, but takes a millisecond to load, and no command is to pay for that which has little to
 * add: so it is loaded for what is large, and done without where it is missing.
 */
struct cx_sum {
	/* private; NULL: libsodium's is used */
	int (*add)(SHA256_CTX *state, const void *bytes, size_t len);
	int (*end)(unsigned char *ret, SHA256_CTX *state);
	union {
		SHA256_CTX fast;
		crypto_hash_sha256_state slow;
	} state;
};

/* expected: about how many bytes come; UINT64_MAX when nobody knows. */
void cx_sum_begin(struct cx_sum *sum, uint64_t expected);
void cx_sum_add(struct cx_sum *sum, const void *bytes, size_t len);
void cx_sum_end(struct cx_sum *sum, uint8_t ret[32]); /* once */

#endif
