/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SSH_H
#define CX_API_SSH_H

#include "api/gateway.h"

/*
 * SSH into sandboxes: one listening socket, and a confined worker (proto/ssh_msgs.h) for each
 * connection, which is let in by a session of ssh_store.h. A connection ends with its session, with
 * its sandbox and with this gateway; what ran in it is hung up then.
 */
struct cx_ssh;

enum {
	CX_SSH_CONNECTIONS_MAX = 480,	   /* below what caissond starts */
	CX_SSH_CONNECTIONS_FROM_MAX = 240, /* of one address (of IPv6: a network of 64 bits) */
	CX_SSH_STRANGERS_MAX = 64,	   /* that have not logged in */
	CX_SSH_STRANGERS_FROM_MAX = 32,
};

/*
 * Asks caissond for the socket. Without one (an address that is taken, say) there is no SSH, which
 * the log tells, and cx_ssh_where().
 */
CX_MUST int cx_ssh_open(struct cx_gateway *gw, struct cx_err *err);

struct cx_ssh_where {
	char host[64]; /* a numeric address; "": any of this host */
	uint16_t port;
	const char *host_key; /* "ssh-ed25519 AAAA..." */
};
CX_MUST int cx_ssh_where(const struct cx_gateway *gw, struct cx_ssh_where *ret, struct cx_err *err);

/* The session is no more: so are its connections. */
void cx_ssh_end_session(struct cx_gateway *gw, const char *id);

#endif
