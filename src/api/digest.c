/* SPDX-License-Identifier: Apache-2.0 */
#include "api/digest.h"

#include <openssl/evp.h>

struct cx_digest {
	EVP_MD_CTX *ctx;
};

void cx_digest_free(struct cx_digest *digest)
{
	if (digest == NULL)
		return;
	EVP_MD_CTX_free(digest->ctx);
	free(digest);
}

int cx_digest_reset(struct cx_digest *digest, struct cx_err *err)
{
	if (EVP_DigestInit_ex(digest->ctx, EVP_sha256(), NULL) != 1)
		return cx_fail(err, ENOMEM, "start SHA-256");
	return 0;
}

int cx_digest_new(struct cx_digest **ret, struct cx_err *err)
{
	struct cx_digest *digest = calloc(1, sizeof *digest);

	if (digest != NULL)
		digest->ctx = EVP_MD_CTX_new();
	if (digest == NULL || digest->ctx == NULL) {
		cx_digest_free(digest);
		return cx_fail(err, ENOMEM, "start SHA-256");
	}
	if (cx_digest_reset(digest, err) < 0) {
		cx_digest_free(digest);
		return -err->errnum;
	}
	*ret = digest;
	return 0;
}

int cx_digest_add(struct cx_digest *digest, const void *data, size_t len, struct cx_err *err)
{
	return EVP_DigestUpdate(digest->ctx, data, len) == 1 ? 0 : cx_fail(err, EIO, "SHA-256");
}

int cx_digest_get(struct cx_digest *digest, uint8_t ret[32], struct cx_err *err)
{
	return EVP_DigestFinal_ex(digest->ctx, ret, NULL) == 1 ? 0 : cx_fail(err, EIO, "SHA-256");
}

int cx_digest_of(const void *data, size_t len, uint8_t ret[32], struct cx_err *err)
{
	return EVP_Digest(data, len, ret, NULL, EVP_sha256(), NULL) == 1
		       ? 0
		       : cx_fail(err, EIO, "SHA-256");
}
