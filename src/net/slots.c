/* SPDX-License-Identifier: Apache-2.0 */
#include "net/slots.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/rtnl.h"

enum { EVENTS_MAX = 256 /* datagrams at a time */ };

enum slot_state { FREE, HELD, LEAVING };

struct cx_slots {
	struct cx_slots_plan plan;
	struct cx_loop *loop;
	struct cx_source events; /* what the kernel tells of the router's links */
	struct cx_rtnl *rtnl;	 /* inside the router */
	uint32_t n, mtu, leaving;
	uint32_t first, nfree; /* of the ring, which holds the free ones in the order to be given */
	uint32_t *ring;
	uint8_t *state; /* enum slot_state */
};

/* ---- addresses ------------------------------------------------------------------------------- */

uint32_t cx_slots_capacity(const struct cx_slots_plan *plan)
{
	uint32_t n = (UINT32_C(1) << (32 - plan->prefix4)) - 2;

	return n < CX_SLOTS_MAX ? n : CX_SLOTS_MAX;
}

void cx_slots_addresses(const struct cx_slots_plan *plan, uint32_t slot, struct in_addr *ret4,
			struct in6_addr *ret6)
{
	uint32_t low;

	ret4->s_addr = htonl(ntohl(plan->pool4.s_addr) + 1 + slot);
	*ret6 = (struct in6_addr){ 0 };
	if (plan->prefix6 == 0)
		return;
	*ret6 = plan->pool6;
	memcpy(&low, ret6->s6_addr + 12, sizeof low);
	low = htonl(ntohl(low) + 1 + slot);
	memcpy(ret6->s6_addr + 12, &low, sizeof low);
}

void cx_slots_link(const struct cx_slots *slots, uint32_t slot, struct cx_slot_link *ret)
{
	*ret = (struct cx_slot_link){ .slot = slot,
				      .index = CX_ROUTER_LINK_INDEX + slot,
				      .mtu = slots->mtu,
				      .bandwidth = slots->plan.bandwidth };
	cx_slots_addresses(&slots->plan, slot, &ret->address4, &ret->address6);
}

uint32_t cx_slots_count(const struct cx_slots *slots)
{
	return slots->n;
}

uint32_t cx_slots_leaving(const struct cx_slots *slots)
{
	return slots->leaving;
}

/* ---- giving and taking back ------------------------------------------------------------------ */

static void set_free(struct cx_slots *s, uint32_t slot)
{
	s->state[slot] = FREE;
	s->ring[(s->first + s->nfree++) % s->n] = slot;
}

int cx_slots_get(struct cx_slots *slots, uint32_t *ret, struct cx_err *err)
{
	uint32_t slot;

	if (slots->nfree == 0)
		return cx_refuse(err, CX_LIMIT,
				 "all %u addresses for sandboxes are in use; see [network] pool",
				 slots->n);
	slot = slots->ring[slots->first];
	slots->first = (slots->first + 1) % slots->n;
	slots->nfree--;
	slots->state[slot] = HELD;
	*ret = slot;
	return 0;
}

/* Takes one out of the ring's middle. */
static void withdraw(struct cx_slots *s, uint32_t slot)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->nfree; i++) {
		uint32_t one = s->ring[(s->first + i) % s->n];

		if (one != slot)
			s->ring[(s->first + kept++) % s->n] = one;
	}
	s->nfree = kept;
}

static int cut(const struct cx_slots *s, uint32_t slot, struct cx_err *err)
{
	struct cx_err none;

	(void)!cx_rtnl_remove_link(s->rtnl, CX_ROUTER_LINK_INDEX + slot, &none);
	return cx_refuse(err, CX_INVALID, "its address is not of the pool ([network] pool)");
}

int cx_slots_take(struct cx_slots *slots, uint32_t slot, struct in_addr address4,
		  struct cx_err *err)
{
	struct cx_slot_link link;

	cx_slots_link(slots, slot, &link);
	if (slot >= slots->n || link.address4.s_addr != address4.s_addr)
		return cut(slots, slot, err);
	if (slots->state[slot] == HELD)
		return cx_refuse(err, CX_CONFLICT, "link number %u has two owners", slot);
	if (slots->state[slot] == FREE)
		withdraw(slots, slot);
	else
		slots->leaving--;
	slots->state[slot] = HELD;
	return 0;
}

/* When the kernel does not say, it is taken to be there: nobody else gets the address. */
bool cx_slots_linked(const struct cx_slots *slots, uint32_t slot)
{
	uint32_t index = CX_ROUTER_LINK_INDEX + slot;
	struct cx_link_info link;
	struct cx_err err;
	int r = cx_rtnl_find_link(slots->rtnl, NULL, index, &link, &err);

	/* Want of memory, say: of a link that is gone already nothing more will be told. */
	if (r < 0 && r != -ENODEV)
		r = cx_rtnl_find_link(slots->rtnl, NULL, index, &link, &err);
	return r != -ENODEV;
}

void cx_slots_release(struct cx_slots *slots, uint32_t slot)
{
	if (slots == NULL || slot >= slots->n || slots->state[slot] != HELD)
		return;
	if (cx_slots_linked(slots, slot)) {
		slots->state[slot] = LEAVING;
		slots->leaving++;
	} else {
		set_free(slots, slot);
	}
}

/* ---- what the kernel tells ------------------------------------------------------------------- */

/* Asked again, for what is told may be of an earlier link with the same number. */
static void settle(struct cx_slots *s, uint32_t slot)
{
	if (slot >= s->n || s->state[slot] != LEAVING || cx_slots_linked(s, slot))
		return;
	s->leaving--;
	set_free(s, slot);
}

static void settle_all(struct cx_slots *s)
{
	for (uint32_t slot = 0; slot < s->n && s->leaving > 0; slot++)
		settle(s, slot);
}

static void take_events(struct cx_slots *s, void *data, size_t len)
{
	struct nlmsghdr *h = data;

	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		const struct ifinfomsg *info = NLMSG_DATA(h);

		if (h->nlmsg_type == RTM_DELLINK && h->nlmsg_len >= NLMSG_LENGTH(sizeof *info) &&
		    info->ifi_index >= CX_ROUTER_LINK_INDEX)
			settle(s, (uint32_t)info->ifi_index - CX_ROUTER_LINK_INDEX);
	}
}

static void on_events(struct cx_source *source, uint32_t events)
{
	struct cx_slots *s = cx_container_of(source, struct cx_slots, events);
	union {
		struct nlmsghdr align;
		uint8_t bytes[16384];
	} buf;

	(void)events;
	for (unsigned i = 0; i < EVENTS_MAX; i++) {
		ssize_t n = recv(source->fd, &buf, sizeof buf, MSG_DONTWAIT);

		if (n < 0 && errno == ENOBUFS) /* more than it could keep: look for ourselves */
			settle_all(s);
		else if (n < 0)
			return;
		else
			take_events(s, &buf, (size_t)n);
	}
}

static int listen_to_kernel(struct cx_slots *s, const struct cx_router *router, struct cx_err *err)
{
	const struct sockaddr_nl at = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	cx_autofd int fd =
		cx_router_socket(router, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE, err);

	if (fd < 0)
		return -err->errnum;
	if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
		return cx_fail(err, errno, "listen to what becomes of links");
	s->events.fd = fd;
	s->events.ready = on_events;
	if (cx_loop_add(s->loop, &s->events, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&fd);
	return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void note_link(const struct cx_link_info *link, void *arg)
{
	struct cx_slots *s = arg;
	uint32_t slot = link->index - CX_ROUTER_LINK_INDEX;

	if (slot < s->n && s->state[slot] == FREE) {
		s->state[slot] = LEAVING;
		s->leaving++;
	}
}

static int open_rtnl(void *arg, struct cx_err *err)
{
	return cx_rtnl_open(arg, err);
}

static int open_parts(struct cx_slots *s, const struct cx_router *router, struct cx_err *err)
{
	s->ring = calloc(s->n, sizeof *s->ring);
	s->state = calloc(s->n, sizeof *s->state);
	if (s->ring == NULL || s->state == NULL)
		return cx_fail(err, ENOMEM, "%u slots", s->n);
	/* Listening comes first: a link that goes meanwhile is heard of. */
	if (listen_to_kernel(s, router, err) < 0 ||
	    cx_router_run(router, open_rtnl, &s->rtnl, err) < 0 ||
	    cx_rtnl_each_link(s->rtnl, note_link, s, err) < 0)
		return -err->errnum;
	for (uint32_t slot = 0; slot < s->n; slot++)
		if (s->state[slot] == FREE)
			set_free(s, slot);
	return 0;
}

int cx_slots_open(struct cx_loop *loop, const struct cx_router *router,
		  const struct cx_slots_plan *plan, struct cx_slots **ret, struct cx_err *err)
{
	struct cx_slots *s = calloc(1, sizeof *s);

	if (s == NULL)
		return cx_fail(err, ENOMEM, "slots");
	*s = (struct cx_slots){ .plan = *plan,
				.loop = loop,
				.events = { .fd = -EBADF },
				.n = cx_slots_capacity(plan),
				.mtu = router->mtu };
	if (open_parts(s, router, err) < 0) {
		cx_slots_close(s);
		return cx_wrap(err, "slots of links");
	}
	*ret = s;
	return 0;
}

static void destroy(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_slots, events));
}

/* An event that is on its way may still name it. */
void cx_slots_close(struct cx_slots *slots)
{
	if (slots == NULL)
		return;
	cx_rtnl_close(slots->rtnl);
	free(slots->ring);
	free(slots->state);
	if (!slots->events.added) {
		free(slots);
		return;
	}
	slots->events.destroy = destroy;
	cx_loop_drop(slots->loop, &slots->events);
}
