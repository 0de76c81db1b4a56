/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reqid.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

static bool is_fit(const char *given)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = given != NULL ? strspn(given, letters) : 0;

	return len > 0 && len <= CX_REQUEST_ID_MAX && given[len] == '\0';
}

void cx_request_id_choose(const char *given, char ret[CX_REQUEST_ID_MAX + 1])
{
	uint8_t random[8] = { 0 };

	if (is_fit(given)) {
		memcpy(ret, given, strlen(given) + 1);
		return;
	}
	(void)!getrandom(random, sizeof random, GRND_NONBLOCK);
	cx_to_hex(random, sizeof random, ret);
}
