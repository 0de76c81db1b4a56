/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRIME_TOKEN_H
#define CX_API_PRIME_TOKEN_H

#include "api/http.h"
#include "api/jsonw.h"

/* Members of the open object: gateway_url, user_ns, job_id, token. */
void cx_prime_write_access(struct cx_jsonw *w, const struct cx_request *req, const char *id,
			   int64_t expires_ms);
/* What a client needs to speak with the gateway of one sandbox; key may be NULL. */
void cx_prime_write_token(struct cx_jsonw *w, const char *key, const struct cx_request *req,
			  const char *id);

/* Those that know what to do with a token in the answer to a create need not ask for one. */
bool cx_prime_takes_token(const struct cx_request *req);

#endif
