/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_RESOLVE_H
#define CX_RESOLVER_RESOLVE_H

#include "resolver/cache.h"
#include "resolver/clients.h"
#include "resolver/denials.h"
#include "resolver/guests.h"
#include "resolver/permits.h"
#include "resolver/upstream.h"

/*
 * One question from its arrival to its answer: what the name means to this sandbox, what the name
 * servers say, which of the addresses it may reach, and that the router knows before it is told.
 */
enum {
	CX_RESOLVE_SERVICES = 64,
	CX_RESOLVE_REACHABLE = 64,
	CX_RESOLVE_EACH = 128, /* questions of one sandbox that wait; more are not heard */
	CX_RESOLVE_ALL = 16384,
	CX_RESOLVE_OWN_TTL_S = 5, /* of names of our own: their addresses change with sandboxes */
	CX_RESOLVE_PERMIT_MIN_S =
		5,		 /* an address may be used for the answer's time, this at least, */
	CX_RESOLVE_GRACE_S = 20, /* and so long behind it */
	CX_RESOLVE_ROUNDS = 3,	 /* changes of the policy that one question outlives */
	CX_RESOLVE_STALL_MS = 3000,
};

struct cx_job;
struct cx_resolve {
	struct cx_guests *guests;
	struct cx_cache *cache;
	struct cx_upstream *upstream;
	struct cx_permits *permits;
	struct cx_clients *clients;
	struct cx_denials *denials;
	/* Of a slot whose policy changes: all its addresses are permitted anew. */
	void (*set)(void *arg, uint32_t slot, uint32_t request);
	void *arg;
	struct {
		char name[CX_NAME_TEXT];
		struct cx_address address;
	} services[CX_RESOLVE_SERVICES];
	struct cx_prefix reachable[CX_RESOLVE_REACHABLE];
	unsigned nservices, nreachable, njobs;
	struct cx_job *stalled;
};

CX_MUST int cx_resolve_service(struct cx_resolve *r, const struct cx_msg_service *m,
			       struct cx_err *err);
CX_MUST int cx_resolve_reachable(struct cx_resolve *r, const struct cx_msg_reachable *m,
				 struct cx_err *err);

/* For cx_clients.asked; arg is the struct cx_resolve. */
void cx_resolve_asked(void *arg, struct cx_guest *guest, const struct cx_client *from,
		      const uint8_t *packet, size_t len);
/* Another policy is in force: permits anew, then calls set(), perhaps at once. */
void cx_resolve_changed(struct cx_resolve *r, struct cx_guest *guest, uint32_t request);
void cx_resolve_tick(struct cx_resolve *r, uint64_t now_ms);

#endif
