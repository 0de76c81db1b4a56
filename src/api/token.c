/* SPDX-License-Identifier: Apache-2.0 */
#include "api/token.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { MAC_BYTES = 32 };

void cx_token_key_new(struct cx_token_key *ret)
{
	randombytes_buf(ret->bytes, sizeof ret->bytes);
}

static void mac_of(const struct cx_token_key *key, const char *text, size_t len,
		   char ret[2 * MAC_BYTES + 1])
{
	uint8_t mac[MAC_BYTES];

	(void)crypto_generichash(mac, sizeof mac, (const unsigned char *)text, len, key->bytes,
				 sizeof key->bytes);
	cx_to_hex(mac, sizeof mac, ret);
}

void cx_token_make(const struct cx_token_key *key, const char *id, int64_t expires_ms,
		   char ret[CX_TOKEN_MAX + 1])
{
	char mac[2 * MAC_BYTES + 1];
	int len = snprintf(ret, CX_TOKEN_MAX + 1, "cxs_%" PRIx64 "_%.*s", (uint64_t)expires_ms,
			   CX_SANDBOX_ID_MAX, id);

	mac_of(key, ret, (size_t)len, mac);
	(void)snprintf(ret + len, CX_TOKEN_MAX + 1 - (size_t)len, "_%s", mac);
}

bool cx_token_check(const struct cx_token_key *key, const char *token, int64_t now_ms,
		    char id[CX_SANDBOX_ID_MAX + 1])
{
	const char *tail = strrchr(token, '_');
	char mac[2 * MAC_BYTES + 1];
	uint64_t expires = 0;

	if (tail == NULL || strlen(token) > CX_TOKEN_MAX || strlen(tail + 1) != 2 * MAC_BYTES)
		return false;
	mac_of(key, token, (size_t)(tail - token), mac);
	if (sodium_memcmp(mac, tail + 1, 2 * MAC_BYTES) != 0)
		return false;
	/* From here on it is what we wrote. */
	return sscanf(token, "cxs_%16" SCNx64 "_%64[0-9A-Za-z]", &expires, id) == 2 &&
	       (int64_t)expires > now_ms;
}
