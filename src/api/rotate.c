/* SPDX-License-Identifier: Apache-2.0 */
#include "api/gateway.h"
#include "api/handlers.h"
#include "api/jsonw.h"

void cx_handle_rotate(struct cx_request *req)
{
	struct cx_buf json = { .max = 256 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;
	int n = cx_seal_rotate(&req->gateway->seal, req->gateway->store, &err);

	if (n < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_jsonw_int(&w, "resealed", n);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}
