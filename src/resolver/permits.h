/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_PERMITS_H
#define CX_RESOLVER_PERMITS_H

#include "proto/outbox.h"
#include "proto/resolver_msgs.h"

/*
 * The connection to caissond: what it says at the start, and permits, which are answered in any
 * order. Its end, or a packet that is none of these, ends the resolver.
 */
enum { CX_PERMITS_WAITING = 4096 };

/* Once for each permit that was asked for; err NULL: granted. */
typedef void cx_permit_done(void *arg, unsigned tag, const struct cx_err *err);

struct cx_permit_waiting {
	cx_permit_done *done; /* NULL: free */
	void *arg;
	unsigned tag;
};

struct cx_permits_watch {
	CX_MUST int (*pools)(void *arg, const struct cx_msg_pools *m, struct cx_err *err);
	CX_MUST int (*service)(void *arg, const struct cx_msg_service *m, struct cx_err *err);
	CX_MUST int (*upstream)(void *arg, const struct cx_msg_upstream *m, struct cx_err *err);
	CX_MUST int (*reachable)(void *arg, const struct cx_msg_reachable *m, struct cx_err *err);
	void (*told)(void *arg); /* services_end */
	void (*lost)(void *arg, const struct cx_err *err);
	void *arg;
};

struct cx_permits {
	struct cx_loop *loop;
	struct cx_packet *packet; /* scratch, shared */
	struct cx_permits_watch watch;
	struct cx_source source;
	struct cx_outbox outbox;
	struct cx_permit_waiting waiting[CX_PERMITS_WAITING];
	unsigned next; /* where the search for a free one begins */
	bool told;
};

/* sock is taken over on success. */
CX_MUST int cx_permits_open(struct cx_permits *ret, struct cx_loop *loop, struct cx_packet *packet,
			    int sock, const struct cx_permits_watch *watch, struct cx_err *err);
/* Those that wait are not called any more. */
void cx_permits_close(struct cx_permits *permits);

/* CX_UNAVAILABLE when too many wait. */
CX_MUST int cx_permits_ask(struct cx_permits *permits, const struct cx_msg_permit *m,
			   cx_permit_done *done, void *arg, unsigned tag, struct cx_err *err);

#endif
