/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prime/token.h"

#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/prime/handlers.h"
#include "base/loop.h"

/* What gateway_url is made of: the client comes back the way it came. */
static void url_of(const struct cx_request *req, char *ret, size_t size)
{
	const char *host = cx_request_host(req);

	(void)snprintf(ret, size, "%s://%s/gw", cx_request_scheme(req),
		       host != NULL ? host : "localhost");
}

void cx_prime_write_access(struct cx_jsonw *w, const struct cx_request *req, const char *id,
			   int64_t expires_ms)
{
	char token[CX_TOKEN_MAX + 1], url[300];

	cx_token_make(&req->gateway->auth->tokens, id, expires_ms, token);
	url_of(req, url, sizeof url);
	cx_jsonw_text(w, "gateway_url", url);
	cx_jsonw_text(w, "user_ns", "s");
	cx_jsonw_text(w, "job_id", id);
	cx_jsonw_text(w, "token", token);
}

void cx_prime_write_token(struct cx_jsonw *w, const char *key, const struct cx_request *req,
			  const char *id)
{
	int64_t expires_ms = cx_wall_ms() + CX_TOKEN_MS;
	char time[32];

	cx_time_text(expires_ms, time);
	cx_jsonw_object(w, key);
	cx_prime_write_access(w, req, id, expires_ms);
	cx_jsonw_text(w, "expires_at", time);
	cx_jsonw_text(w, "sandbox_id", id);
	cx_jsonw_bool(w, "is_vm", false);
	cx_jsonw_end(w);
}

bool cx_prime_takes_token(const struct cx_request *req)
{
	static const char sdk[] = "prime-sandboxes/";
	const char *agent = cx_request_agent(req);

	return agent != NULL && strncmp(agent, sdk, sizeof sdk - 1) == 0;
}

/* Also of a sandbox that has ended: what it ended of, clients learn from the gateway's answer. */
void cx_prime_token(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_buf json = { .max = 4096 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_prime_write_token(&w, NULL, req, named.row->id);
	cx_request_answer_json(req, &w);
}
