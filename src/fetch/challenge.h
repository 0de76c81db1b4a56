/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_CHALLENGE_H
#define CX_FETCH_CHALLENGE_H

#include "base/err.h"

/*
 * What a server wants before it answers: the value of WWW-Authenticate (RFC 9110, 11.6.1), several
 * header lines joined by commas. Pure; the text is hostile.
 */
enum cx_scheme { CX_SCHEME_NONE, CX_SCHEME_BASIC, CX_SCHEME_BEARER };

struct cx_challenge {
	enum cx_scheme scheme;
	char realm[2048]; /* of Bearer: where tokens are given out; never "" then */
	char service[512];
	char scope[1024];
	char error[64]; /* "invalid_token", "insufficient_scope" */
};

/*
 * The strongest challenge that we can meet: Bearer before Basic. A text with two readings, with
 * control characters, or with a value that is too long is refused; so is one without a scheme that
 * we know.
 */
CX_MUST int cx_challenge_parse(const char *text, struct cx_challenge *ret, struct cx_err *err);

#endif
