/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sweep.h"

#include "api/intake.h"
#include "base/log.h"

struct cx_sweep {
	struct cx_gateway *gw;
	struct cx_engine_call call;
	struct cx_layer_row at;
	uint64_t bytes;
	struct cx_sweep_waiter *waiters, *later; /* of this one, of the next one */
	bool again;
};

static void sweep_next(struct cx_sweep *sweep, const uint8_t *after);

static int sweep_blob(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *err)
{
	struct cx_sweep *sweep = arg;
	struct cx_gateway *gw = sweep->gw;
	int used = cx_store_blob_used(gw->store, id, err);

	if (used != 0 || cx_intakes_hold_blob(gw, id) || cx_blob_held(&gw->blobs, id))
		return used < 0 ? used : 0;
	sweep->bytes += size;
	return cx_blob_remove(&gw->blobs, id, err);
}

static void begin(struct cx_sweep *sweep)
{
	struct cx_err err;

	sweep->bytes = 0;
	sweep->again = false;
	sweep->waiters = sweep->later;
	sweep->later = NULL;
	if (cx_blobs_each(&sweep->gw->blobs, sweep_blob, sweep, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "unused blobs not removed", NULL);
	sweep_next(sweep, NULL);
}

static void over(struct cx_sweep *sweep)
{
	while (sweep->waiters != NULL) {
		struct cx_sweep_waiter *waiter = sweep->waiters;

		sweep->waiters = waiter->next;
		waiter->done(waiter, sweep->bytes);
	}
	if (sweep->again) {
		begin(sweep);
		return;
	}
	sweep->gw->sweep = NULL;
	free(sweep);
}

static void on_layer_removed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			     const struct cx_err *err)
{
	struct cx_sweep *sweep = cx_container_of(call, struct cx_sweep, call);
	struct cx_err failed;

	(void)answer;
	if (err == NULL || err->kind == CX_NOT_FOUND) {
		sweep->bytes += err == NULL ? (uint64_t)sweep->at.size_bytes : 0;
		if (cx_store_layer_forget(sweep->gw->store, sweep->at.diff_id, &failed) < 0)
			cx_log_err(CX_LOG_ERROR, &failed, "layer not forgotten", NULL);
	} else if (err->kind != CX_CONFLICT) { /* in use: another time */
		cx_log_err(CX_LOG_WARNING, err, "layer not removed", NULL);
	}
	sweep_next(sweep, sweep->at.diff_id);
}

/* Removes the next layer that is nobody's: 1 under way, 0 there is none. */
static int remove_next(struct cx_sweep *sweep, const uint8_t *after, struct cx_err *err)
{
	struct cx_gateway *gw = sweep->gw;
	int found;

	do
		found = cx_store_layer_unused(gw->store, after, &sweep->at, err);
	while (found == 1 && cx_intakes_hold_layer(gw, after = sweep->at.diff_id));
	if (found != 1)
		return found;
	return cx_engine_layer_remove(gw->engine, sweep->at.diff_id, &sweep->call, err) == 0 ? 1
											     : -1;
}

static void sweep_next(struct cx_sweep *sweep, const uint8_t *after)
{
	struct cx_err err;
	int found = remove_next(sweep, after, &err);

	if (found < 0)
		cx_log_err(CX_LOG_ERROR, &err, "unused layers not removed", NULL);
	if (found != 1)
		over(sweep);
}

static void sweep(struct cx_gateway *gw, struct cx_sweep_waiter *waiter)
{
	struct cx_sweep *running = gw->sweep;

	if (running == NULL)
		running = calloc(1, sizeof *running);
	if (running == NULL) { /* the next one does it */
		if (waiter != NULL)
			waiter->done(waiter, 0);
		return;
	}
	if (waiter != NULL) {
		waiter->next = running->later;
		running->later = waiter;
	}
	if (gw->sweep != NULL) { /* it may have passed what is meant now */
		running->again = true;
		return;
	}
	running->gw = gw;
	running->call.done = on_layer_removed;
	gw->sweep = running;
	begin(running);
}

void cx_store_sweep(struct cx_gateway *gw)
{
	sweep(gw, NULL);
}

void cx_sweep_wait(struct cx_gateway *gw, struct cx_sweep_waiter *waiter)
{
	sweep(gw, waiter);
}
