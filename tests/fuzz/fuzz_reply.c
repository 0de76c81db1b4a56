/* SPDX-License-Identifier: Apache-2.0 */
/* What registries and token services say: it becomes printable words, or a token for a header. */
#include <stdio.h>

#include "fetch/reply.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char words[CX_WORDS_SIZE], token[CX_TOKEN_SIZE];
	uint32_t seconds;
	struct cx_err err;

	cx_reply_words((const char *)data, size, words);
	for (const char *p = words; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			abort();
	if (cx_reply_token((const char *)data, size, token, &seconds, &err) < 0)
		return 0;
	if (token[0] == '\0' || strpbrk(token, " \r\n\t,;\"") != NULL ||
	    seconds < CX_TOKEN_SECONDS || seconds > CX_TOKEN_SECONDS_MAX)
		abort();
	return 0;
}
