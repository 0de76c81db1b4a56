/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PEERS_H
#define CX_API_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * The connections of a listener, and which of them have to go so that slow and idle ones cost the
 * others nothing: one that has not sent a whole header in time, one whose body trickles, and, when
 * it becomes crowded, the one that has waited longest without asking anything. Of one origin are at
 * most three quarters of them: beyond that it makes room for itself, or does not come in. Knows no
 * sockets and no clock: times are given, and who has to go is told.
 */
enum {
	CX_PEER_HEAD_MS = 60000,  /* from the last answer to the end of the next header */
	CX_PEER_BODY_MS = 30000,  /* of a body; after that its rate counts */
	CX_PEER_BODY_RATE = 1024, /* bytes a second, from its beginning */
};

enum cx_peer_phase {
	CX_PEER_WAITING, /* for a header, or in the middle of one */
	CX_PEER_SENDING, /* its body */
	CX_PEER_SERVED,	 /* it is our turn */
	CX_PEER_PHASES,
};

struct cx_peer { /* embedded in its owner */
	enum cx_peer_phase phase;
	bool told; /* that it has to go */
	uint64_t since_ms, bytes;
	uint64_t origin; /* who is at the other end; 0: somebody who may have all */
	struct cx_peer *next, **link;
};

struct cx_peer_list { /* the longest in it first */
	struct cx_peer *first, **last;
};

/* Above 32 bits of an origin: a user of this host, an IPv4 address; what is there of IPv6 is more.
 */
enum { CX_PEER_UID = 1, CX_PEER_IPV4 = 2 };

struct cx_peers {
	struct cx_peer_list lists[CX_PEER_PHASES];
	size_t n, most; /* from most on, one that waits goes for each that comes */
	size_t share;	/* of one origin */
	/* It has to go; it is removed later. */
	void (*drop)(struct cx_peer *peer);
};

/* Of IPv6 a whole network of 64 bits, all addresses of which its owner may have. NULL: 0. */
uint64_t cx_peer_origin(const struct sockaddr *addr);

void cx_peers_open(struct cx_peers *ret, size_t most, void (*drop)(struct cx_peer *peer));
void cx_peers_add(struct cx_peers *peers, struct cx_peer *peer, uint64_t origin, uint64_t now_ms);
void cx_peers_remove(struct cx_peers *peers, struct cx_peer *peer);
void cx_peers_move(struct cx_peers *peers, struct cx_peer *peer, enum cx_peer_phase phase,
		   uint64_t now_ms);
/* Drops those whose time is over. True: there is somebody to look after again. */
bool cx_peers_sweep(struct cx_peers *peers, uint64_t now_ms);

#endif
