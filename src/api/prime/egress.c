/* SPDX-License-Identifier: Apache-2.0 */
#include "api/egress.h"

#include "api/json.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"

/* What a sandbox may reach, asked for and changed while it lives. */

enum { ANSWER_MAX = 4 << 20 };

/* One of the two lists is told: that nothing is denied is how everything is allowed. */
static void answer(struct cx_request *req, const struct cx_sandbox_row *row)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	int64_t applied = cx_egress_applied(req, row);
	const char *allow = row->network_allowlist;
	const char *deny = row->network_denylist != NULL ? row->network_denylist : "[]";

	cx_jsonw_object(&w, NULL);
	cx_jsonw_object(&w, "policy");
	cx_jsonw_raw(&w, "allowlist", allow != NULL ? allow : "null");
	cx_jsonw_raw(&w, "denylist", allow != NULL ? "null" : deny);
	cx_jsonw_end(&w);
	cx_jsonw_int(&w, "generation", row->network_generation);
	cx_jsonw_int(&w, "applied_generation", applied);
	cx_jsonw_bool(&w, "applied", applied == row->network_generation);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static const struct cx_egress_form form = { .answer = answer };

void cx_prime_egress(struct cx_request *req)
{
	cx_egress_show(req, &form);
}

void cx_prime_set_egress(struct cx_request *req)
{
	cx_egress_change(req, &form);
}
