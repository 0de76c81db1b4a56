/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_TOKEN_H
#define CX_API_TOKEN_H

#include <stdint.h>

#include "api/caller.h"

/*
 * Gateway tokens: "cxs_EXPIRY_ID_MAC" lets who shows it use the one sandbox ID until EXPIRY (Unix
 * milliseconds, hexadecimal). The MAC is BLAKE2b under a key that only the gateway has; nothing is
 * kept of a token.
 */
enum { CX_TOKEN_MAX = 255, CX_TOKEN_MS = 15 * 60 * 1000 };

struct cx_token_key {
	uint8_t bytes[32];
};
void cx_token_key_new(struct cx_token_key *ret);

/* id: at most CX_SANDBOX_ID_MAX letters and digits. */
void cx_token_make(const struct cx_token_key *key, const char *id, int64_t expires_ms,
		   char ret[CX_TOKEN_MAX + 1]);

/* False: not ours, changed, or over at now_ms. Takes the same time for every wrong MAC. */
bool cx_token_check(const struct cx_token_key *key, const char *token, int64_t now_ms,
		    char id[CX_SANDBOX_ID_MAX + 1]);

#endif
