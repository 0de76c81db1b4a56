/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_CASES_H
#define CX_RESOLVER_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A name server repeats the question as it was, upper case and lower, which mean the same. So who
 * guesses its answer has to guess the cases of our letters, too.
 */
enum { CX_CASES = 32 /* bytes: a bit for each of a name */ };

/* Letters of the question's name become upper case where there is a bit. */
void cx_cases_set(uint8_t *question, size_t len, const uint8_t cases[CX_CASES]);
/* Whether packet, of any bytes, repeats the question letter by letter. */
bool cx_cases_same(const uint8_t *question, size_t question_len, const uint8_t *packet, size_t len);

#endif
