/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http.h"
#include "api/prime/handlers.h"

/* 400: a 404 would tell some clients to try it in another way, and a 5xx to try it again. */
void cx_prime_absent(struct cx_request *req)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_INVALID, "%s", req->route->why);
	cx_request_fail(req, &err);
}
