/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_STR_H
#define CX_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Formats into a fixed buffer; a result that does not fit is refused, never cut. */
__attribute__((format(printf, 3, 5))) CX_MUST int cx_format(char *buf, size_t size, const char *fmt,
							    struct cx_err *err, ...);

/* A decimal number, the whole text, min .. max; "what" names it in the error. */
CX_MUST int cx_parse_u64(const char *text, uint64_t min, uint64_t max, const char *what,
			 uint64_t *ret, struct cx_err *err);

/* Lower-case hexadecimal, both ways. out has room for 2 * len + 1; from_hex wants exactly 2 * len.
 */
void cx_to_hex(const uint8_t *data, size_t len, char *out);
CX_MUST bool cx_from_hex(const char *text, uint8_t *out, size_t len);

/* Only [a-zA-Z0-9_.-], does not begin with '.' or '-', 1 .. max bytes: safe as a file name. */
bool cx_is_plain_name(const char *text, size_t max);

#endif
