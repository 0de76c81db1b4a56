/* SPDX-License-Identifier: Apache-2.0 */
#include "api/auth.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/loop.h"

const struct cx_caller cx_caller_admin = { .user = CX_ADMIN_USER, .admin = true };

static void digest(const struct cx_auth *auth, const char *key, size_t len, uint8_t out[32])
{
	(void)crypto_generichash(out, 32, (const unsigned char *)key, len, auth->salt,
				 sizeof auth->salt);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int adopt_key(struct cx_auth *auth, const char *key, size_t len, struct cx_err *err)
{
	while (len > 0 && is_space(key[0]))
		key++, len--;
	while (len > 0 && is_space(key[len - 1]))
		len--;
	if (len == 0)
		return 0;
	if (len < CX_AUTH_KEY_MIN)
		return cx_refuse(err, CX_INVALID,
				 "the admin key has %zu characters; give it at least %d", len,
				 CX_AUTH_KEY_MIN);
	randombytes_buf(auth->salt, sizeof auth->salt);
	digest(auth, key, len, auth->digest);
	auth->has_key = true;
	return 0;
}

int cx_auth_load(struct cx_auth *ret, int fd, struct cx_err *err)
{
	char key[CX_AUTH_KEY_MAX + 1];
	struct cx_auth auth = { 0 };
	ssize_t len;
	int r;

	if (sodium_init() < 0)
		return cx_fail(err, EIO, "start libsodium");
	cx_token_key_new(&auth.tokens);
	len = cx_read_upto(fd, key, sizeof key, err);
	if (len < 0)
		return cx_wrap(err, "read the admin key");
	r = (size_t)len < sizeof key
		    ? adopt_key(&auth, key, (size_t)len, err)
		    : cx_refuse(err, CX_INVALID, "the admin key is longer than %d bytes",
				CX_AUTH_KEY_MAX);
	sodium_memzero(key, sizeof key);
	if (r < 0)
		return r;
	*ret = auth;
	return 0;
}

static bool is_admin_key(const struct cx_auth *auth, const char *key)
{
	uint8_t given[32];

	digest(auth, key, strlen(key), given);
	return auth->has_key && sodium_memcmp(given, auth->digest, sizeof given) == 0;
}

bool cx_auth_identify(const struct cx_auth *auth, const char *header, struct cx_caller *ret)
{
	static const char scheme[] = "Bearer ";

	*ret = (struct cx_caller){ 0 };
	if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
		return false;
	header += sizeof scheme - 1;
	if (is_admin_key(auth, header))
		*ret = cx_caller_admin;
	else
		(void)cx_token_check(&auth->tokens, header, cx_wall_ms(), ret->sandbox);
	return ret->admin || ret->sandbox[0] != '\0';
}
