/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_CLIENTS_H
#define CX_RESOLVER_CLIENTS_H

#include "base/loop.h"
#include "resolver/guests.h"
#include "resolver/message.h"

/*
 * The sockets that sandboxes ask. Who asks is known by the source address, which the router has
 * checked. One that asks more than it may is not heard; over TCP its connection goes.
 */
enum {
	CX_CLIENTS_CONNECTIONS = 1024,
	CX_CLIENTS_EACH = 16,	   /* connections of one sandbox */
	CX_CLIENTS_PIPELINED = 64, /* questions of one connection that wait for their answer */
	CX_CLIENTS_IDLE_MS = 10000,
	CX_CLIENTS_A_SECOND = 500, /* questions of one sandbox */
	CX_CLIENTS_AT_ONCE = 1000,
	CX_CLIENTS_QUEUE = 128 << 10, /* bytes of answers that a connection has not taken */
	CX_CLIENTS_SOCKETS = 2,	      /* IPv4, IPv6 */
};

struct cx_client { /* whom to answer; may be gone meanwhile */
	uint8_t socket;
	bool tcp;
	uint16_t connection;
	uint32_t generation; /* of the connection */
	struct sockaddr_in6 from;
};

struct cx_connection;
struct cx_clients {
	struct cx_loop *loop;
	struct cx_guests *guests;
	struct cx_source udp[CX_CLIENTS_SOCKETS], tcp[CX_CLIENTS_SOCKETS];
	struct cx_connection *connections[CX_CLIENTS_CONNECTIONS];
	struct cx_timer look; /* while there is one of them */
	uint32_t generation;
	/* Is answered by cx_clients_answer(), once, now or later; a TCP one also with len 0. */
	void (*asked)(void *arg, struct cx_guest *guest, const struct cx_client *from,
		      const uint8_t *packet, size_t len);
	void *arg;
	uint8_t packet[65536]; /* scratch */
};

/* fds: UDP and TCP of IPv4, of IPv6, which are taken over one by one; no socket: is not served. */
CX_MUST int cx_clients_open(struct cx_clients *clients, const int udp[CX_CLIENTS_SOCKETS],
			    const int tcp[CX_CLIENTS_SOCKETS], struct cx_err *err);
void cx_clients_close(struct cx_clients *clients);
void cx_clients_answer(struct cx_clients *clients, const struct cx_client *to,
		       const uint8_t *packet, size_t len);
/* Ends those of a sandbox. */
void cx_clients_forget(struct cx_clients *clients, const struct cx_guest *guest);

#endif
