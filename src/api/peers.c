/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peers.h"

void cx_peers_open(struct cx_peers *ret, size_t most, void (*drop)(struct cx_peer *peer))
{
	*ret = (struct cx_peers){ .most = most, .drop = drop };
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

static void make_room(struct cx_peers *peers)
{
	struct cx_peer *peer = peers->lists[CX_PEER_WAITING].first;

	while (peer != NULL && peer->told)
		peer = peer->next;
	if (peer != NULL)
		drop(peers, peer);
}

void cx_peers_add(struct cx_peers *peers, struct cx_peer *peer, uint64_t now_ms)
{
	if (peers->n >= peers->most)
		make_room(peers);
	*peer = (struct cx_peer){ .phase = CX_PEER_WAITING };
	put_last(peers, peer, now_ms);
	peers->n++;
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
