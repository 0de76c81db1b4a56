/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_NAMES_H
#define CX_FETCH_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

/*
 * What may become a part of a URL. The gateway has checked these by the finer rules of image
 * references; here they only must not mean anything else in a URL.
 */
enum { CX_DIGEST_SIZE = 7 + 64 + 1 }; /* "sha256:", digits, NUL */

bool cx_name_is_host(struct cx_str text);	/* NAME, NAME:PORT, [IPv6], [IPv6]:PORT */
bool cx_name_is_repository(struct cx_str text); /* parts of [a-z0-9._-] with "/" between */
bool cx_name_is_reference(struct cx_str text);	/* a tag, or a sha256 digest */
bool cx_name_is_media_type(struct cx_str text);

void cx_name_of_digest(const uint8_t digest[32], char ret[CX_DIGEST_SIZE]);
/* False when text is not "sha256:" and 64 digits (0-9, a-f). */
bool cx_name_to_digest(const char *text, uint8_t ret[32]);

#endif
