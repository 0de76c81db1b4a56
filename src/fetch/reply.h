/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_REPLY_H
#define CX_FETCH_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The JSON documents that registries and token services answer with; the door to jansson of this
 * layer. All of it is hostile. (Manifests are not looked into here: the gateway reads them.)
 */
enum {
	CX_WORDS_SIZE = 301, /* of an error, with the NUL */
	CX_TOKEN_SIZE = 16385,
	CX_REPLY_TOKEN_BYTES = 64 << 10, /* of a token service's answer */
	CX_TOKEN_SECONDS = 60,		 /* the least that a token holds, by the specification */
	CX_TOKEN_SECONDS_MAX = 86400,
};

/*
 * What a registry says about an error, fit for a message: code and text of its errors, or what a
 * token service calls "details"; of any other body its first line of text, without markup. Control
 * characters become "?". "" when there is nothing.
 */
void cx_reply_words(const char *body, size_t len, char ret[CX_WORDS_SIZE]);

/*
 * A token service's answer: "token" or "access_token", and how many seconds it holds. Refuses a
 * token that could not stand in a header line.
 */
CX_MUST int cx_reply_token(const char *body, size_t len, char ret_token[CX_TOKEN_SIZE],
			   uint32_t *ret_seconds, struct cx_err *err);

#endif
