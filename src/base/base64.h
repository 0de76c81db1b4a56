/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_BASE64_H
#define CX_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Base 64 (RFC 4648, section 4: with '+', '/' and padding). Here and not from a library because
 * the command line's start-up would pay for one.
 */
#define CX_BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* out has room for CX_BASE64_SIZE(len) and is ended by NUL. */
void cx_base64_encode(const void *data, size_t len, char *out);

/*
 * The bytes that text means, at most size. Returns how many, or -EINVAL when it is not base 64 to
 * its last character, or does not fit.
 */
CX_MUST ptrdiff_t cx_base64_decode(const char *text, void *out, size_t size);

#endif
