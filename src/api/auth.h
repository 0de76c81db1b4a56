/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_AUTH_H
#define CX_API_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The door to libsodium: the admin key, of which only a digest under a random key is kept. */
enum { CX_AUTH_KEY_MIN = 16, CX_AUTH_KEY_MAX = 4096 };

struct cx_auth {
	bool has_key;
	uint8_t salt[32], digest[32];
};

/* Reads the key from fd to its end; white space around it does not count. Nothing: no key. */
CX_MUST int cx_auth_load(struct cx_auth *ret, int fd, struct cx_err *err);

/* The value of an Authorization header, or NULL. Takes the same time for every wrong key. */
bool cx_auth_check(const struct cx_auth *auth, const char *header);

#endif
