/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_RESOLVER_H
#define CX_API_RESOLVER_H

#include "base/loop.h"
#include "proto/resolver_msgs.h"

/*
 * The gateway's side of proto/resolver_msgs.h: tells caisson-resolver what names mean to each
 * sandbox, a few sandboxes at a time, and all of it again when there is a new resolver. Nothing
 * here blocks. What the resolver says is believed as far as it is asked; when it breaks the
 * protocol or does not answer its connection is closed, whereupon caissond starts another.
 */
struct cx_resolver;

enum {
	CX_RESOLVER_AT_ONCE = 8,      /* sandboxes that are told and have not answered */
	CX_RESOLVER_ANSWER_MS = 8000, /* a resolver that does not answer for so long is given up */
	CX_RESOLVER_QUEUE_MAX = 32768,
};

/* What is told of one slot; embedded in its owner. */
struct cx_resolver_slot {
	uint32_t slot;
	/* Says all of it now, from names_begin to the last peer, by cx_resolver_put_*(). */
	int (*write)(struct cx_resolver_slot *slot, struct cx_resolver *resolver,
		     struct cx_err *err);
	/* What was asked for last is in force; may come again after a new resolver. */
	void (*told)(struct cx_resolver_slot *slot);
	struct cx_resolver *resolver; /* private from here; NULL: it is told nothing */
	int state;
	bool again;
	struct cx_resolver_slot *next;
};

struct cx_resolver_events {
	void (*denied)(struct cx_resolver_slot *slot, const struct cx_msg_denied *denied,
		       void *arg);
	void *arg;
};

/* Begins held, without a resolver. */
CX_MUST int cx_resolver_open(struct cx_loop *loop, struct cx_packet *scratch,
			     const struct cx_resolver_events *events, struct cx_resolver **ret,
			     struct cx_err *err);
void cx_resolver_close(struct cx_resolver *resolver); /* every slot was forgotten; NULL is fine */

/* Takes over *sock, a new resolver's, which is told all slots. */
CX_MUST int cx_resolver_connect(struct cx_resolver *resolver, int *sock, struct cx_err *err);

/*
 * A resolver lets questions wait until it was told of all sandboxes. Who will have something to
 * tell soon holds that, and lets it go when it is told or never will be. Each hold is let go once.
 */
void cx_resolver_hold(struct cx_resolver *resolver);
void cx_resolver_release(struct cx_resolver *resolver);

/* Tells it (again), now or as soon as there is a resolver: slot, write and told are set. */
void cx_resolver_tell(struct cx_resolver *resolver, struct cx_resolver_slot *slot);
/* The slot is another's from here on. Fine on one that was never told, or zeroed. */
void cx_resolver_forget(struct cx_resolver_slot *slot);

/* From write() only. */
CX_MUST int cx_resolver_put_begin(struct cx_resolver *resolver, const struct cx_msg_names_begin *m,
				  struct cx_err *err);
CX_MUST int cx_resolver_put_rule(struct cx_resolver *resolver, const struct cx_msg_name_rule *m,
				 struct cx_err *err);
CX_MUST int cx_resolver_put_peer(struct cx_resolver *resolver, const struct cx_msg_peer *m,
				 struct cx_err *err);

#endif
