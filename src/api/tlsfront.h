/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_TLSFRONT_H
#define CX_API_TLSFRONT_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/loop.h"

/*
 * TLS in front of the HTTP server: of each connection this has the encrypted side and gives the
 * other one, a socket in the clear, to the server. (libmicrohttpd's own gives streams of commands a
 * buffer of four bytes, and a daemon one certificate for its life.)
 */
struct cx_tlsfront;

/* cert, key: PEM; CX_INVALID when they cannot be used. */
CX_MUST int cx_tlsfront_open(struct cx_loop *loop, const char *cert, const char *key,
			     struct cx_tlsfront **ret, struct cx_err *err);
/* For connections from now on; on failure all is as it was. */
CX_MUST int cx_tlsfront_renew(struct cx_tlsfront *front, const char *cert, const char *key,
			      struct cx_err *err);
/* Ends its listeners and connections, and itself after the running batch of events. */
void cx_tlsfront_close(struct cx_tlsfront *front);

/*
 * Takes what connects to *sock, a listening socket that is taken over; most at a time. take() gets
 * a socket of its own, not blocking, with the address of who is behind it.
 */
CX_MUST int cx_tlsfront_listen(struct cx_tlsfront *front, int *sock, size_t most,
			       void (*take)(void *arg, int plain, const struct sockaddr *addr,
					    socklen_t len),
			       void *arg, struct cx_err *err);
/*
 * The client of a connection that take() got, and that is still open, sees that it breaks off:
 * without this, the end of plain is one that TLS vouches for.
 */
void cx_tlsfront_cut(struct cx_tlsfront *front, int plain);

#endif
