/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXPOSE_H
#define CX_API_EXPOSE_H

#include "api/exposure.h"

/* What makes and ends exposed ports (exposure.h). */
enum {
	CX_EXPOSURES_MAX = 16, /* of one sandbox */
	CX_EXPOSE_NAME_MAX = 255,
	CX_EXPOSE_FIRST = 22,
	CX_EXPOSE_LAST = 9000,
};

/* Somebody who waits for one; embedded, told once, never inside the function that asked. */
struct cx_expose_waiter {
	void (*done)(struct cx_expose_waiter *waiter, const struct cx_exposure *exposure,
		     const struct cx_err *err);
};

struct cx_expose_wish {
	int64_t port;	  /* inside: may it be exposed? */
	const char *name; /* or NULL */
	bool http;
};

/*
 * CX_INVALID: not this port. CX_CONFLICT: the sandbox does not run, has exposed it already, or has
 * CX_EXPOSURES_MAX. CX_UNAVAILABLE: https is to be served and is not. -errno: the waiter is not
 * told.
 */
CX_MUST int cx_expose(struct cx_gateway *gw, struct cx_box *box, const struct cx_expose_wish *wish,
		      struct cx_expose_waiter *waiter, struct cx_err *err);
/* Connections through it end at once. */
void cx_unexpose(struct cx_exposure *exposure);

/* At start, when the sandboxes are there: all that were there before. */
CX_MUST int cx_exposures_restore(struct cx_gateway *gw, struct cx_err *err);

#endif
