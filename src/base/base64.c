/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cx_base64_encode(const void *data, size_t len, char *out)
{
	const uint8_t *p = data;

	for (; len > 0; p += 3) {
		size_t n = len < 3 ? len : 3;
		uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
				(n > 2 ? p[2] : 0);

		for (size_t i = 0; i < 4; i++)
			*out++ = i <= n ? digits[bits >> (18 - 6 * i) & 63] : '=';
		len -= n;
	}
	*out = '\0';
}

/* Four characters to n <= 3 bytes. Unused bits must be zero: bytes have one spelling. */
static bool decode_group(const char text[4], size_t n, uint8_t out[3])
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		const char *digit = i <= n ? memchr(digits, text[i], 64) : digits;

		if (digit == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(digit - digits);
	}
	for (size_t i = 0; i < 3; i++)
		out[i] = (uint8_t)(bits >> (16 - 8 * i));
	return (n > 1 || out[1] == 0) && (n > 2 || out[2] == 0);
}

ptrdiff_t cx_base64_decode(const char *text, void *out, size_t size)
{
	size_t len = strlen(text), padding = 0, used = 0;
	uint8_t *to = out, group[3];

	if (len % 4 != 0)
		return -EINVAL;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (; len > 0; text += 4, len -= 4) {
		size_t n = len == 4 ? 3 - padding : 3;

		if (n > size - used || !decode_group(text, n, group))
			return -EINVAL;
		memcpy(to + used, group, n);
		used += n;
	}
	explicit_bzero(group, sizeof group);
	return (ptrdiff_t)used;
}
