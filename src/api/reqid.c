/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reqid.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

static bool is_fit(const char *given)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = given != NULL ? strspn(given, letters) : 0;

	return len > 0 && len <= CX_REQUEST_ID_MAX && given[len] == '\0';
}

/* Letters only: errors name the id, and clients look for numbers like 429 in their texts. */
static void make(char ret[CX_REQUEST_ID_MAX + 1])
{
	static const char letters[] = "abcdefghjkmnpqrs";
	uint8_t random[8] = { 0 };

	(void)!getrandom(random, sizeof random, GRND_NONBLOCK);
	for (size_t i = 0; i < 2 * sizeof random; i++)
		ret[i] = letters[(random[i / 2] >> (i % 2 * 4)) % 16];
	ret[2 * sizeof random] = '\0';
}

void cx_request_id_choose(const char *given, char ret[CX_REQUEST_ID_MAX + 1])
{
	if (is_fit(given))
		memcpy(ret, given, strlen(given) + 1);
	else
		make(ret);
}
