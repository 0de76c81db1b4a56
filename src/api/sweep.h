/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SWEEP_H
#define CX_API_SWEEP_H

#include "api/gateway.h"

/*
 * Removes the blobs and layers that no image has any more. Layers still in use by a sandbox stay
 * until the next time; so does what an image on its way in needs. Blobs go at once, layers in the
 * background.
 */
void cx_store_sweep(struct cx_gateway *gw);

/* Somebody who wants to know; embedded, told exactly once. */
struct cx_sweep_waiter {
	/* bytes: of all that was removed for it, blobs and layers. */
	void (*done)(struct cx_sweep_waiter *waiter, uint64_t bytes);
	struct cx_sweep_waiter *next;
};
/* The same; what nobody has at this moment is gone when done() comes. */
void cx_sweep_wait(struct cx_gateway *gw, struct cx_sweep_waiter *waiter);

#endif
