/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_IDENTITY_H
#define CX_API_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "api/auth.h"

/*
 * Who asks. What the request shows (its Authorization header, or NULL) decides: the admin key, a
 * key of an account, a gateway token. Without it the user at the other end of the Unix socket does
 * (peer; NULL over TCP): root and the engine's own are the admin, others what an account says.
 *
 * CX_DENIED says to a stranger what to do; any other kind is a failure of ours. A key is good until
 * it expires, is revoked, or its account is disabled: each request asks anew.
 */
CX_MUST int cx_identify(const struct cx_auth *auth, const char *header, const uid_t *peer,
			struct cx_caller *ret, struct cx_err *err);

/*
 * Is what cx_identify() found out still so: the key neither revoked nor expired, the account there
 * and not disabled? For who stays connected.
 */
bool cx_identity_holds(const struct cx_auth *auth, const struct cx_caller *caller);

/* ---- keys of accounts ----------------------------------------------------------------------- */

#define CX_KEY_PREFIX "cxk_"
enum { CX_KEY_CHARS = 4 + 64, CX_KEY_SHOWN = 12 };

/* A new key. Whoever has it is that account, so it is shown once and only its hash is kept. */
void cx_key_make(char ret[CX_KEY_CHARS + 1]);
void cx_key_hash(const char *key, uint8_t ret[32]);

/* An id for an account, a team or a key: random, safe in a URL. */
void cx_account_id(char ret[17]);

#endif
