/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_KEYFILE_H
#define CX_API_KEYFILE_H

#include <stdint.h>

#include "base/err.h"

/*
 * A key of 32 random bytes in a file of its own, mode 0600, as hexadecimal text. What is there and
 * is not such a file, or may be read by others, is refused and left alone.
 */
enum { CX_KEYFILE_BYTES = 32 };

/* 1: read; 0: there is no such file. */
CX_MUST int cx_keyfile_read(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES],
			    struct cx_err *err);
/* Makes a new key; it is on the disk before this returns. Replaces what had the name. */
CX_MUST int cx_keyfile_make(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES],
			    struct cx_err *err);
/* Reads it, or makes it at the first time. */
CX_MUST int cx_keyfile_load(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES],
			    struct cx_err *err);

#endif
