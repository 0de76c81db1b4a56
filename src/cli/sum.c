/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sum.h"

#include <dlfcn.h>

#define TEXT_OF(x)	   #x
#define LIBCRYPTO(version) "libcrypto.so." TEXT_OF(version) /* with the state as it is here */

enum { LARGE = 512 << 10 }; /* bytes from which on loading it is made up for */

/* Its functions for nothing but this sum: those for all of them would begin with its settings. */
static int load(struct cx_sum *sum)
{
	void *library = dlopen(LIBCRYPTO(OPENSSL_SHLIB_VERSION), RTLD_NOW | RTLD_LOCAL);
	int (*init)(SHA256_CTX * state) = NULL;

	if (library == NULL)
		return 0;
	*(void **)(&init) = dlsym(library, "SHA256_Init");
	*(void **)(&sum->add) = dlsym(library, "SHA256_Update");
	*(void **)(&sum->end) = dlsym(library, "SHA256_Final");
	return init != NULL && sum->add != NULL && sum->end != NULL && init(&sum->state.fast) == 1;
}

void cx_sum_begin(struct cx_sum *sum, uint64_t expected)
{
	*sum = (struct cx_sum){ .add = NULL };
	if (expected >= LARGE && load(sum))
		return;
	sum->add = NULL;
	(void)crypto_hash_sha256_init(&sum->state.slow);
}

void cx_sum_add(struct cx_sum *sum, const void *bytes, size_t len)
{
	if (sum->add != NULL)
		(void)sum->add(&sum->state.fast, bytes, len);
	else
		(void)crypto_hash_sha256_update(&sum->state.slow, bytes, len);
}

void cx_sum_end(struct cx_sum *sum, uint8_t ret[32])
{
	if (sum->add != NULL)
		(void)sum->end(ret, &sum->state.fast);
	else
		(void)crypto_hash_sha256_final(&sum->state.slow, ret);
}
