/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_NUMBER_H
#define CX_CLI_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Numbers as people type them. Only digits and one point: no sign, exponent, NaN or infinity, so
 * nothing that compares oddly ever reaches the server. "what" names the number in the error.
 */
CX_MUST int cx_number_parse(const char *text, const char *what, double *ret, struct cx_err *err);

/*
 * A size with an optional unit, case ignored: K, M, G, T, each with an optional "B" or "iB", all in
 * steps of 1024. Without a unit it is in GiB, as --memory-gb has it. Returns GiB.
 */
CX_MUST int cx_number_parse_gib(const char *text, const char *what, double *ret,
				struct cx_err *err);

/* "17 B", "1.5 KiB", "45.2 MiB". Returns buf. */
const char *cx_number_show_bytes(uint64_t bytes, char *buf, size_t size);

/* "84.0/600.0 MiB": so much of total, both in total's unit. Returns buf. */
const char *cx_number_show_part(uint64_t bytes, uint64_t total, char *buf, size_t size);

#endif
