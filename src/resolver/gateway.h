/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_GATEWAY_H
#define CX_RESOLVER_GATEWAY_H

#include "proto/outbox.h"
#include "resolver/guests.h"

/*
 * The connection to the gateway, which says what names mean to sandboxes and hears what they were
 * refused. Its end, or a packet that is none of resolver_msgs.h, ends the resolver.
 */
enum { CX_GATEWAY_DENIALS_WAITING = 1024 };

struct cx_gateway_link_watch {
	void (*changed)(void *arg, struct cx_guest *guest, uint32_t request); /* names_end */
	void (*forgotten)(void *arg, struct cx_guest *guest); /* names_forget, before it is done */
	void (*told)(void *arg);			      /* names_told */
	void (*lost)(void *arg, const struct cx_err *err);
	void *arg;
};

struct cx_gateway_link {
	struct cx_loop *loop;
	struct cx_packet *packet; /* scratch, shared */
	struct cx_guests *guests;
	struct cx_gateway_link_watch watch;
	struct cx_source source;
	struct cx_outbox outbox;
};

/* sock is taken over on success. */
CX_MUST int cx_gateway_link_open(struct cx_gateway_link *ret, struct cx_loop *loop,
				 struct cx_packet *packet, int sock, struct cx_guests *guests,
				 const struct cx_gateway_link_watch *watch, struct cx_err *err);
void cx_gateway_link_close(struct cx_gateway_link *link);
/* The answer to names_end. */
void cx_gateway_link_set(struct cx_gateway_link *link, uint32_t slot, uint32_t request);
/* Left out when the gateway does not read. */
void cx_gateway_link_denied(struct cx_gateway_link *link, const struct cx_msg_denied *m);

#endif
