/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/alive.h"

#include <string.h>

#include "proto/wire.h"

enum { ALIVE_MAX = 4 << 20 }; /* bytes of ids */

static void on_listed(struct cx_engine_call *engine, const char *id)
{
	struct cx_nexus_call *call = cx_container_of(engine, struct cx_nexus_call, engine);

	(void)!cx_buf_add(&call->alive, id, strlen(id) + 1, &call->alive_err);
}

static void on_list_end(struct cx_engine_call *engine, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct cx_nexus_call *call = cx_container_of(engine, struct cx_nexus_call, engine);

	(void)answer;
	if (err == NULL && call->alive_err.errnum != 0)
		err = &call->alive_err;
	if (err != NULL)
		cx_nexus_fail(call, err);
	else
		call->alive_done(call);
}

int cx_nexus_ask_alive(struct cx_nexus_call *call, void (*done)(struct cx_nexus_call *call),
		       struct cx_err *err)
{
	call->alive.max = ALIVE_MAX;
	call->alive_done = done;
	call->engine.listed = on_listed;
	call->engine.done = on_list_end;
	return cx_engine_list(call->req->gateway->engine, &call->engine, err);
}

bool cx_nexus_is_alive(const struct cx_nexus_call *call, const char *engine_id)
{
	struct cx_str ids = { .p = call->alive.p, .len = (uint32_t)call->alive.len };

	if (engine_id == NULL)
		return false;
	CX_STRV_FOREACH (id, ids) {
		if (strcmp(id, engine_id) == 0)
			return true;
	}
	return false;
}

void cx_nexus_answer_sandbox(struct cx_nexus_call *call, const struct cx_sandbox_row *row,
			     enum cx_nexus_verified verified)
{
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits traits;

	cx_nexus_traits_load(row, &traits);
	cx_nexus_present(cx_nexus_answer(call), "result", row, &traits, verified, cx_wall_ms());
	cx_nexus_end(call);
}
