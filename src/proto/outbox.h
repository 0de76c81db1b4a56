/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_OUTBOX_H
#define CX_PROTO_OUTBOX_H

#include "base/loop.h"
#include "proto/packet.h"

/*
 * Sending on a non-blocking socket of the loop: what the peer has not room for waits here, in
 * order, and the socket is watched for EPOLLOUT meanwhile (else for EPOLLIN alone). Packets that
 * wait are wiped when they are gone, as some hold passwords.
 */
struct cx_outbox {
	struct cx_loop *loop;
	struct cx_source *source; /* whose owner calls cx_outbox_flush() on EPOLLOUT */
	unsigned max;		  /* packets that may wait */
	struct cx_waiting *first, **last;
	unsigned n;
};

void cx_outbox_open(struct cx_outbox *ret, struct cx_loop *loop, struct cx_source *source,
		    unsigned max);
void cx_outbox_clear(struct cx_outbox *outbox); /* drops what waits */

/*
 * Sends a packet as cx_packet_send() does, now or later; descriptors stay the caller's (those that
 * wait are duplicates). CX_UNAVAILABLE when too many wait; another failure ends the connection.
 */
CX_MUST int cx_outbox_post(struct cx_outbox *outbox, uint8_t *packet, size_t len, uint16_t type,
			   uint32_t request, const int *fds, unsigned nfds, struct cx_err *err);
/* Sends what it can; 0 also when something is left. */
CX_MUST int cx_outbox_flush(struct cx_outbox *outbox, struct cx_err *err);

#endif
