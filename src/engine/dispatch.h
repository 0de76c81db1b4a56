/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_DISPATCH_H
#define CX_ENGINE_DISPATCH_H

#include "engine/archive.h"
#include "engine/capacity.h"
#include "engine/gateway.h"
#include "engine/pause.h"
#include "engine/pool.h"
#include "engine/ssh.h"
#include "engine/sweep.h"

/*
 * What the gateway may ask, and when: a table. The gateway is not believed. A packet that is
 * malformed, unknown, not legal in the present state or with the wrong number of descriptors ends
 * that gateway; a request that fails is answered with control_error.
 */
enum { CX_PEER_NEW = 1, CX_PEER_READY = 2 }; /* before and after hello; bits */
enum { CX_DESTROYS_MAX = 4096 };	     /* that wait for their end */

struct cx_destroying;
struct cx_dispatch {
	struct cx_host *host;
	struct cx_sandboxes *sandboxes;
	struct cx_pool *pool;
	struct cx_capacity capacity;
	struct cx_builds *builds;
	struct cx_archives *archives;
	struct cx_pauses *pauses;
	struct cx_ssh_workers *ssh;
	struct cx_gateway *gateway;
	const struct cx_sweeper *sweeper;
	unsigned state; /* CX_PEER_* of the present gateway */
	bool stopping;	/* nothing new is begun */
	bool was_full;	/* a create was refused since `room` was told last */
	struct cx_destroying *destroying;
	unsigned ndestroying;
	void (*ready)(void *arg); /* a gateway has said hello */
	void *arg;
};

/* One packet of the gateway. */
void cx_dispatch_packet(struct cx_dispatch *d, struct cx_packet *packet);
/* The gateway is gone: what it asked for is finished or dropped, and answered to nobody. */
void cx_dispatch_lost(struct cx_dispatch *d);
/* It ran out of memory: the gateway is told, who decides. */
void cx_dispatch_oom(struct cx_dispatch *d, struct cx_sandbox *sb);
/* A new certificate, in a pipe (cx_gateway_renew), which stays the caller's. */
void cx_dispatch_certificate(struct cx_dispatch *d, enum cx_certificate_of of, int pipe);
/* Nothing of it runs any more: answers those who asked for that, or tells the gateway. */
void cx_dispatch_ended(struct cx_dispatch *d, struct cx_sandbox *sb);
/* What one had has been given back: tells the gateway if it was refused for want of it. */
void cx_dispatch_gone(struct cx_dispatch *d);
/* A new resolver runs: the gateway gets its end of the connection; sock stays the caller's. */
void cx_dispatch_resolver(struct cx_dispatch *d, int sock);
void cx_dispatch_close(struct cx_dispatch *d);

/* For tests: may a message of this type come in this state with so many descriptors? */
bool cx_dispatch_is_legal(unsigned type, unsigned state, unsigned nfds);

#endif
