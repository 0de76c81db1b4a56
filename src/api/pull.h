/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PULL_H
#define CX_API_PULL_H

#include "api/gateway.h"
#include "image/authfile.h"

/*
 * Images from registries. Documents come first, then the layers, several at a time; each is taken
 * apart while it comes. Who wants the same image at the same time shares one pull. It lives as long
 * as somebody waits for it. What has come of a pull that fails or is left is used by the next one.
 */
struct cx_pull;

enum cx_pull_phase {
	CX_PULL_EXISTS,
	CX_PULL_WAITING,
	CX_PULL_DOWNLOADING,
	CX_PULL_UNPACKING,
	CX_PULL_DONE,
	CX_PULL_PHASE_MAX,
};
const char *cx_pull_phase_name(enum cx_pull_phase phase);

struct cx_pull_event {	/* of one layer */
	unsigned layer; /* 0: the lowest */
	const uint8_t *blob_id;
	enum cx_pull_phase phase;
	uint64_t bytes, total; /* that have come */
};

/* Somebody who waits for a pull; embedded, zeroed, with done set. */
struct cx_pull_waiter {
	/* Once. image is valid during the call; on failure it is NULL and err says why. */
	void (*done)(struct cx_pull_waiter *waiter, const struct cx_image_row *image,
		     const struct cx_err *err);
	/* Any number of times before that; may be NULL. */
	void (*event)(struct cx_pull_waiter *waiter, const struct cx_pull_event *event);
	struct cx_pull *pull; /* private from here */
	struct cx_pull_waiter *next;
};

/*
 * Starts or joins the pull of an image by any name that cx_ref_parse() takes. login NULL: what is
 * configured for its registry; a pull with a login of its own is not shared. platform NULL: the
 * host's; an image of another one can be kept, saved and pushed, not run. done() never comes
 * inside of this call. The image is recorded under its short name, in place of what had it.
 */
CX_MUST int cx_pull_start(struct cx_gateway *gw, const char *image, const char *platform,
			  const struct cx_login *login, struct cx_pull_waiter *waiter,
			  struct cx_err *err);
/* No callback follows. The last one who leaves ends the pull. Idempotent. */
void cx_pull_leave(struct cx_pull_waiter *waiter);

/* Whether a pull is writing to the partial download of a blob. */
bool cx_pull_is_loading(const struct cx_gateway *gw, const uint8_t blob_id[32]);

#endif
