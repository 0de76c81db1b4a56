/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sshkey.h"

#include <sodium.h>
#include <string.h>

#include "api/keyfile.h"
#include "base/base64.h"
#include "base/str.h"

#define ED25519 "ssh-ed25519"

static const char *const types[] = {
	ED25519, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
};

int cx_ssh_host_key_load(int state_dir, struct cx_ssh_host_key *ret, struct cx_err *err)
{
	/* The blob: each part behind its length. */
	uint8_t seed[CX_KEYFILE_BYTES], public[32];
	uint8_t blob[51] = "\0\0\0\x0b" ED25519 "\0\0\0\x20";
	char text[CX_BASE64_SIZE(sizeof blob)];

	static_assert(sizeof seed == crypto_sign_SEEDBYTES, "a seed is a key of a file");
	static_assert(sizeof ret->raw == crypto_sign_SECRETKEYBYTES, "with the public key");
	if (cx_keyfile_load(state_dir, "ssh_host.key", seed, err) < 0)
		return cx_wrap(err, "SSH host key");
	(void)crypto_sign_seed_keypair(public, ret->raw, seed);
	sodium_memzero(seed, sizeof seed);
	memcpy(blob + sizeof blob - sizeof public, public, sizeof public);
	cx_base64_encode(blob, sizeof blob, text);
	return cx_format(ret->public, sizeof ret->public, ED25519 " %s", err, text) < 0
		       ? -err->errnum
		       : 0;
}

static const char *find_type(const char *text, size_t len)
{
	for (size_t i = 0; i < CX_LEN(types); i++)
		if (strlen(types[i]) == len && memcmp(types[i], text, len) == 0)
			return types[i];
	return NULL;
}

/* The blob says its type once more, in front. */
static bool says(const struct cx_ssh_key *key, const char *type)
{
	size_t len = strlen(type);

	return key->len > 4 + len && key->blob[0] == 0 && key->blob[1] == 0 && key->blob[2] == 0 &&
	       key->blob[3] == len && memcmp(key->blob + 4, type, len) == 0;
}

int cx_ssh_key_parse(const char *text, const char *field, struct cx_ssh_key *ret,
		     struct cx_err *err)
{
	static const char space[] = " \t\r\n";
	size_t type_len = strcspn(text, space), gap = strspn(text + type_len, space);
	const char *body = text + type_len + gap, *type = find_type(text, type_len);
	char base64[CX_BASE64_SIZE(CX_SSH_KEY_MAX)];
	ptrdiff_t n;

	if (type == NULL)
		return cx_refuse(err, CX_INVALID,
				 "'%s' must be a public key as OpenSSH writes it: ssh-ed25519, "
				 "ecdsa-sha2-nistp... or ssh-rsa, and base 64",
				 field);
	if (!cx_str_copy((struct cx_str){ body, (uint32_t)strcspn(body, space) }, base64,
			 sizeof base64))
		return cx_refuse(err, CX_INVALID, "'%s' is longer than any key", field);
	n = cx_base64_decode(base64, ret->blob, sizeof ret->blob);
	ret->len = n > 0 ? (uint32_t)n : 0;
	return says(ret, type) ? 0
			       : cx_refuse(err, CX_INVALID,
					   "'%s' is not the base 64 of a key of "
					   "its type",
					   field);
}

bool cx_ssh_key_equal(const struct cx_ssh_key *key, struct cx_str blob)
{
	return key->len > 0 && key->len == blob.len &&
	       sodium_memcmp(key->blob, blob.p, blob.len) == 0;
}
