/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_UPSTREAM_H
#define CX_RESOLVER_UPSTREAM_H

#include "base/loop.h"
#include "resolver/message.h"

/*
 * Asks the host's name servers. Each try has a socket, port and id of its own; what is no answer to
 * this question from this server is not heard. Two who ask the same share one question.
 */
enum {
	CX_UPSTREAM_SERVERS = 8,
	CX_UPSTREAM_ASKING = 1024, /* at once; each has a descriptor */
	CX_UPSTREAM_TRIES = 5,
	CX_UPSTREAM_TRY_MS = 1000,
	CX_UPSTREAM_BUCKETS = 256,
};

/*
 * Once, perhaps before cx_upstream_ask() returns. What nobody knows is a CX_RCODE_SERVFAIL; NULL:
 * no memory.
 */
typedef void cx_upstream_done(void *arg, struct cx_answer *answer);

struct cx_asking;
struct cx_upstream {
	struct cx_loop *loop;
	struct {
		struct sockaddr_in6 address;
		socklen_t len;
	} servers[CX_UPSTREAM_SERVERS];
	unsigned nservers, first; /* first: the one that answered lately */
	struct cx_asking *buckets[CX_UPSTREAM_BUCKETS];
	unsigned nasking;
	uint8_t packet[65536]; /* scratch */
};

/* CX_LIMIT when there are CX_UPSTREAM_SERVERS already. */
CX_MUST int cx_upstream_add(struct cx_upstream *up, const struct cx_address *address, uint16_t port,
			    struct cx_err *err);
/* CX_UNAVAILABLE when too much is asked already, or nobody is there to be asked. */
CX_MUST int cx_upstream_ask(struct cx_upstream *up, const char *name, uint16_t type,
			    cx_upstream_done *done, void *arg, struct cx_err *err);
/* Gives up tries that took too long; called some ten times a second while anything is asked. */
void cx_upstream_tick(struct cx_upstream *up, uint64_t now_ms);
/* Those that wait are not called any more. */
void cx_upstream_close(struct cx_upstream *up);

#endif
