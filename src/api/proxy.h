/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PROXY_H
#define CX_API_PROXY_H

#include "api/exposure.h"

/*
 * The connections of exposed ports, from a client to a port of a sandbox. Bytes of TCP pass as they
 * are, also behind one half that was closed. Of HTTP one request and its answer pass per connection
 * (head.h, framing.h), and what a connection becomes by an upgrade; what goes wrong before the
 * answer has begun is told by an answer of our own.
 *
 * Nothing that either side does blocks. A side that does not take what comes stops the other one;
 * a connection holds CX_PROXY_CHUNK bytes then for each direction, and none while it flows.
 *
 * What comes by https (exposedoor.h) is told apart by the name that the request is for. One client
 * (peers.h) has at most three quarters of the connections of either kind, and of both together: who
 * comes beyond that is cut off, so that it keeps nobody else out.
 */
enum {
	CX_PROXY_MAX = 2048,		       /* connections */
	CX_PROXY_HTTPS_MAX = CX_PROXY_MAX / 2, /* of these by https, where nobody is known yet */
	CX_PROXY_BOX_MAX = 64,		       /* of one sandbox */
	CX_PROXY_CHUNK = 128 << 10,
	CX_PROXY_HEAD_MS = 30000,    /* for a whole head of a request */
	CX_PROXY_CONNECT_MS = 10000, /* for the server inside to take the connection */
	CX_PROXY_ANSWER_MS = 300000, /* for it to answer, since bytes of the request moved */
	CX_PROXY_STUCK_MS = 600000,  /* for one side to take what is there for it */
	CX_PROXY_IDLE_MS = 3600000,  /* without a byte in either direction */
};

struct cx_proxies;
struct cx_tlsfront;

CX_MUST int cx_proxies_open(struct cx_gateway *gw, struct cx_proxies **ret, struct cx_err *err);

void cx_proxies_close(struct cx_proxies *all);

/* Takes over *sock, a client's connection that does not block; from: where it comes from. */
void cx_proxy_begin(struct cx_exposure *on, int *sock, const struct sockaddr *from);
/* The same of front's, decrypted. */
void cx_proxy_begin_https(struct cx_gateway *gw, struct cx_tlsfront *front, int *sock,
			  const struct sockaddr *from);
/* Those of one exposed port end at once. */
void cx_proxies_end(struct cx_gateway *gw, const struct cx_exposure *of);

#endif
