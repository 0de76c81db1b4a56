/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/alive.h"
#include "api/nexus/rpc.h"
#include "api/nexus/sandbox.h"

static void on_done(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		    const struct cx_err *err)
{
	struct cx_nexus_call *call = cx_container_of(waiter, struct cx_nexus_call, waiter);

	if (err != NULL)
		cx_nexus_fail(call, err);
	else
		cx_nexus_answer_sandbox(call, row, CX_NEXUS_UNASKED);
}

int cx_nexus_status(struct cx_nexus_call *call, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_nexus_named(call, &named, err) < 0)
		return -err->errnum;
	cx_nexus_answer_sandbox(call, named.row, CX_NEXUS_UNASKED);
	return 0;
}

/* Of one that is stopped it says so again: a client whose connection broke repeats its call. */
int cx_nexus_stop(struct cx_nexus_call *call, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_nexus_named(call, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL) {
		cx_nexus_answer_sandbox(call, named.row, CX_NEXUS_UNASKED);
		return 0;
	}
	call->waiter.done = on_done;
	cx_box_destroy(named.box, &call->waiter);
	return 0;
}

static int change(struct cx_nexus_call *call,
		  int (*begin)(struct cx_box *box, struct cx_box_waiter *waiter,
			       struct cx_err *err),
		  struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_nexus_named(call, &named, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "Sandbox %s is stopped", named.row->id);
	call->waiter.done = on_done;
	return begin(named.box, &call->waiter, err);
}

int cx_nexus_pause(struct cx_nexus_call *call, struct cx_err *err)
{
	return change(call, cx_box_pause, err);
}

int cx_nexus_resume(struct cx_nexus_call *call, struct cx_err *err)
{
	return change(call, cx_box_resume, err);
}

/*
 * Mounts a file system of Nexus' server inside, by FUSE. There is none here, and no sandbox may
 * mount: better no than a success that mounts nothing.
 */
int cx_nexus_connect(struct cx_nexus_call *call, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };

	if (cx_nexus_named(call, &named, err) < 0)
		return -err->errnum;
	return cx_refuse(err, CX_DENIED,
			 "this server has no file system of Nexus to mount in a sandbox; files go "
			 "in and out with sandbox_run or 'caisson upload' and 'caisson download'");
}
