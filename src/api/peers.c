/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peers.h"

#include <netinet/in.h>
#include <string.h>

uint64_t cx_peer_origin(const struct sockaddr *addr)
{
	const struct sockaddr_in *v4 = (const void *)addr;
	const struct sockaddr_in6 *v6 = (const void *)addr;
	uint64_t network;
	uint32_t mapped;

	if (addr != NULL && addr->sa_family == AF_INET)
		return (uint64_t)CX_PEER_IPV4 << 32 | v4->sin_addr.s_addr;
	if (addr == NULL || addr->sa_family != AF_INET6)
		return 0;
	memcpy(&mapped, v6->sin6_addr.s6_addr + 12, sizeof mapped);
	memcpy(&network, v6->sin6_addr.s6_addr, sizeof network);
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return (uint64_t)CX_PEER_IPV4 << 32 | mapped;
	return network != 0 ? network : mapped;
}

void cx_peers_open(struct cx_peers *ret, size_t most, void (*drop)(struct cx_peer *peer))
{
	*ret = (struct cx_peers){ .most = most, .share = most - most / 4, .drop = drop };
	for (int i = 0; i < CX_PEER_PHASES; i++)
		ret->lists[i].last = &ret->lists[i].first;
}

static void take_out(struct cx_peers *peers, struct cx_peer *peer)
{
	struct cx_peer_list *list = &peers->lists[peer->phase];

	*peer->link = peer->next;
	if (peer->next != NULL)
		peer->next->link = peer->link;
	else
		list->last = peer->link;
}

static void put_last(struct cx_peers *peers, struct cx_peer *peer, uint64_t now_ms)
{
	struct cx_peer_list *list = &peers->lists[peer->phase];

	peer->since_ms = now_ms;
	peer->bytes = 0;
	peer->next = NULL;
	peer->link = list->last;
	*list->last = peer;
	list->last = &peer->next;
}

static void drop(struct cx_peers *peers, struct cx_peer *peer)
{
	if (!peer->told)
		peers->drop(peer);
	peer->told = true;
}

/* Of an origin, or of all. False: nobody waits. */
static bool make_room(struct cx_peers *peers, uint64_t origin)
{
	struct cx_peer *peer = peers->lists[CX_PEER_WAITING].first;

	while (peer != NULL && (peer->told || (origin != 0 && peer->origin != origin)))
		peer = peer->next;
	if (peer != NULL)
		drop(peers, peer);
	return peer != NULL;
}

static bool has_its_share(const struct cx_peers *peers, uint64_t origin)
{
	size_t n = 0;

	for (int i = 0; i < CX_PEER_PHASES && origin != 0; i++)
		for (struct cx_peer *peer = peers->lists[i].first; peer != NULL; peer = peer->next)
			n += peer->origin == origin && !peer->told;
	return n >= peers->share && origin != 0;
}

void cx_peers_add(struct cx_peers *peers, struct cx_peer *peer, uint64_t origin, uint64_t now_ms)
{
	bool comes_in = true;

	if (has_its_share(peers, origin))
		comes_in = make_room(peers, origin);
	else if (peers->n >= peers->most)
		(void)make_room(peers, 0);
	*peer = (struct cx_peer){ .phase = CX_PEER_WAITING, .origin = origin };
	put_last(peers, peer, now_ms);
	peers->n++;
	if (!comes_in)
		drop(peers, peer);
}

void cx_peers_remove(struct cx_peers *peers, struct cx_peer *peer)
{
	take_out(peers, peer);
	peers->n--;
}

void cx_peers_move(struct cx_peers *peers, struct cx_peer *peer, enum cx_peer_phase phase,
		   uint64_t now_ms)
{
	take_out(peers, peer);
	peer->phase = phase;
	put_last(peers, peer, now_ms);
}

static bool trickles(const struct cx_peer *peer, uint64_t now_ms)
{
	uint64_t ms = now_ms - peer->since_ms;

	return ms > CX_PEER_BODY_MS && peer->bytes * 1000 < ms * CX_PEER_BODY_RATE;
}

bool cx_peers_sweep(struct cx_peers *peers, uint64_t now_ms)
{
	for (struct cx_peer *p = peers->lists[CX_PEER_WAITING].first;
	     p != NULL && now_ms - p->since_ms > CX_PEER_HEAD_MS; p = p->next)
		drop(peers, p);
	for (struct cx_peer *p = peers->lists[CX_PEER_SENDING].first; p != NULL; p = p->next)
		if (trickles(p, now_ms))
			drop(peers, p);
	return peers->lists[CX_PEER_WAITING].first != NULL ||
	       peers->lists[CX_PEER_SENDING].first != NULL;
}
