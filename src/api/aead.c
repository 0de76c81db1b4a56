/* SPDX-License-Identifier: Apache-2.0 */
#include "api/aead.h"

#include <assert.h>
#include <sodium.h>

enum {
	NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	EXTRA = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};
static_assert(NONCE + EXTRA == CX_AEAD_EXTRA, "what sealing adds");
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == CX_KEYFILE_BYTES, "one size of keys");

int cx_aead_seal(const struct cx_aead *with, const void *plain, size_t len, struct cx_buf *ret,
		 struct cx_err *err)
{
	unsigned char *to = (unsigned char *)cx_buf_reserve(ret, len + CX_AEAD_EXTRA, err);
	unsigned long long sealed;

	if (to == NULL)
		return -err->errnum;
	randombytes_buf(to, NONCE);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(
		to + NONCE, &sealed, plain, len, with->owner, with->owner_len, NULL, to, with->key);
	ret->len += NONCE + (size_t)sealed;
	return 0;
}

int cx_aead_open(const struct cx_aead *with, const void *box, size_t len, struct cx_buf *ret,
		 struct cx_err *err)
{
	const unsigned char *from = box;
	unsigned long long opened;
	unsigned char *to;

	if (len < CX_AEAD_EXTRA)
		return cx_refuse(err, CX_INTERNAL, "what is sealed was cut");
	to = (unsigned char *)cx_buf_reserve(ret, len - NONCE, err);
	if (to == NULL)
		return -err->errnum;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(to, &opened, NULL, from + NONCE, len - NONCE,
						       with->owner, with->owner_len, from,
						       with->key) != 0)
		return cx_refuse(err, CX_DENIED, "the key does not open what was sealed");
	ret->len += (size_t)opened;
	return 0;
}
