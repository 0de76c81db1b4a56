/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/cases.h"

#include <string.h>

#include "resolver/message.h"

/* Of the name behind the header of a question of our own, which is whole. */
static size_t name_size(const uint8_t *question, size_t len)
{
	size_t at = CX_DNS_HEADER;

	while (at < len && question[at] != 0)
		at += question[at] + 1U;
	return at + 1 - CX_DNS_HEADER;
}

/* No length of a label is a letter. */
void cx_cases_set(uint8_t *question, size_t len, const uint8_t cases[CX_CASES])
{
	size_t n = name_size(question, len);

	for (size_t i = 0; i < n && i < 8 * (size_t)CX_CASES; i++) {
		uint8_t *c = &question[CX_DNS_HEADER + i];

		if (*c >= 'a' && *c <= 'z' && (cases[i / 8] >> i % 8 & 1) != 0)
			*c = (uint8_t)(*c - 'a' + 'A');
	}
}

bool cx_cases_same(const uint8_t *question, size_t question_len, const uint8_t *packet, size_t len)
{
	size_t n = name_size(question, question_len) + 4; /* type and class */

	return len >= CX_DNS_HEADER + n &&
	       memcmp(packet + CX_DNS_HEADER, question + CX_DNS_HEADER, n) == 0;
}
