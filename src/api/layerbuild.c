/* SPDX-License-Identifier: Apache-2.0 */
#include "api/layerbuild.h"

#include <errno.h>

#include "base/log.h"

enum { ENTRIES_MAX = 4000000 /* of one layer */ };
static const uint64_t layer_bytes_max = (uint64_t)64 << 30;

static void on_built(struct cx_workers *workers, const struct cx_err *err)
{
	struct cx_layer_build *b = cx_container_of(workers, struct cx_layer_build, workers);
	struct cx_err full;

	if (err != NULL && (err->errnum == ENOSPC || err->errnum == EDQUOT)) {
		(void)cx_refuse(&full, CX_LIMIT, "the disk of the state directory is full");
		err = &full;
	}
	b->built = true;
	if (err != NULL)
		b->why = *err;
	if (b->done != NULL)
		b->done(b, err);
}

static void on_answer(struct cx_workers *workers, const struct cx_engine_answer *answer)
{
	struct cx_layer_build *b = cx_container_of(workers, struct cx_layer_build, workers);

	b->token = answer->layer_built.token;
	b->size_bytes = answer->layer_built.size_bytes & INT64_MAX;
}

static int start(struct cx_layer_build *b, int archive, struct cx_err *err)
{
	struct cx_msg_layer_build plan = { .max_bytes = layer_bytes_max,
					   .max_entries = ENTRIES_MAX,
					   .blob_is_known = b->blob_is_known };
	cx_autofd int read_end = -EBADF, write_end = -EBADF;
	int reports[2] = { -EBADF, -EBADF }, r;

	r = cx_workers_open(&b->workers, b->gw->loop, 2, reports, err);
	read_end = reports[0];
	write_end = reports[1];
	if (r < 0)
		return r;
	return cx_engine_layer_build(b->gw->engine, &plan, (int[]){ archive, read_end, write_end },
				     &b->workers.call, err);
}

int cx_layer_build_start(struct cx_gateway *gw, struct cx_layer_build *b, int *archive,
			 struct cx_err *err)
{
	cx_autofd int input = cx_take_fd(archive);

	b->gw = gw;
	b->workers.done = on_built;
	b->workers.answered = on_answer;
	if (start(b, input, err) == 0)
		return 0;
	cx_layer_build_drop(b);
	return -err->errnum;
}

static void on_committed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_layer_build *b = cx_container_of(call, struct cx_layer_build, workers.call);

	(void)answer;
	b->token = 0; /* spent either way */
	b->done(b, err);
}

int cx_layer_build_commit(struct cx_layer_build *b, const uint8_t diff_id[32], struct cx_err *err)
{
	b->workers.call.done = on_committed;
	return cx_engine_layer_commit(b->gw->engine, b->token, diff_id, &b->workers.call, err);
}

void cx_layer_build_drop(struct cx_layer_build *b)
{
	struct cx_err err;

	cx_workers_forget(&b->workers);
	if (b->token != 0 && cx_engine_layer_abort(b->gw->engine, b->token, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "layer not dropped", NULL);
	b->token = 0;
}
