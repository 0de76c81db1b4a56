/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_AUTH_H
#define CX_API_AUTH_H

#include "api/token.h"
#include "base/err.h"

/*
 * Who comes with which credential. Of the admin key only a digest under a random key is kept; the
 * key of the gateway's tokens is a new one until somebody sets another (keyfile.h).
 */
enum { CX_AUTH_KEY_MIN = 16, CX_AUTH_KEY_MAX = 4096 };

struct cx_store;

struct cx_auth {
	bool has_key;
	uint8_t salt[32], digest[32];
	struct cx_token_key tokens;
	struct cx_store *accounts; /* borrowed; NULL: there are none */
};

/* Reads the key from fd to its end; white space around it does not count. Nothing: no key. */
CX_MUST int cx_auth_load(struct cx_auth *ret, int fd, struct cx_err *err);

/*
 * Fills ret from an Authorization header (or NULL): admin, or the sandbox of a token. False:
 * neither (identity.h knows of accounts). Takes the same time for every wrong key.
 */
bool cx_auth_identify(const struct cx_auth *auth, const char *header, struct cx_caller *ret);

#endif
