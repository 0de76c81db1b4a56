/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_SLOTS_H
#define CX_NET_SLOTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "net/router.h"
#include "proto/control_msgs.h"

/*
 * Slots: each sandbox with a link has one, 0 .. n - 1, and by it its addresses and the ifindex of
 * its link's end in the router. A slot is given again only when the kernel has said that the link
 * of the last owner is gone, and the one that was free for longest is given first.
 */
#define CX_SLOT_NONE UINT32_MAX
enum { CX_SLOTS_PREFIX6_MAX = 112 };

struct cx_slots_plan {
	struct in_addr pool4; /* network; the first and last address of it are left out */
	uint8_t prefix4;      /* 8 .. 30 */
	uint64_t bandwidth;   /* bytes a second, each way of each sandbox; 0: no limit */
	struct in6_addr pool6;
	uint8_t prefix6; /* 48 .. CX_SLOTS_PREFIX6_MAX; 0: no IPv6 */
};

/* What a sandbox's link is made with. */
struct cx_slot_link {
	uint32_t slot, index; /* ifindex in the router */
	struct in_addr address4;
	struct in6_addr address6; /* unspecified: none */
	uint32_t mtu;
	uint64_t bandwidth; /* bytes a second, each way; 0: no limit */
};

struct cx_slots;

/* Looks which links are in the router; those that nobody takes are waited for to go. */
CX_MUST int cx_slots_open(struct cx_loop *loop, const struct cx_router *router,
			  const struct cx_slots_plan *plan, struct cx_slots **ret,
			  struct cx_err *err);
void cx_slots_close(struct cx_slots *slots); /* NULL is fine */

/* A slot that nobody has and no link. CX_LIMIT when there is none. */
CX_MUST int cx_slots_get(struct cx_slots *slots, uint32_t *ret, struct cx_err *err);
/*
 * One that a record names with its address. CX_CONFLICT when it has an owner; CX_INVALID when it
 * has another address since the pool was changed: then its link is cut.
 */
CX_MUST int cx_slots_take(struct cx_slots *slots, uint32_t slot, struct in_addr address4,
			  struct cx_err *err);
/*
 * Its owner ended. It is free when its link is gone, which is not waited for. Neither slots nor the
 * slot (CX_SLOT_NONE) need be there.
 */
void cx_slots_release(struct cx_slots *slots, uint32_t slot);

/* Whether the link of a slot is in the router, asked of the kernel. */
bool cx_slots_linked(const struct cx_slots *slots, uint32_t slot);

uint32_t cx_slots_count(const struct cx_slots *slots); /* how many there are */
void cx_slots_link(const struct cx_slots *slots, uint32_t slot, struct cx_slot_link *ret);
/* Those that have no owner but still a link. */
uint32_t cx_slots_leaving(const struct cx_slots *slots);

/* The pure part: addresses of a slot, how many slots a plan has (at most CX_SLOTS_MAX). */
void cx_slots_addresses(const struct cx_slots_plan *plan, uint32_t slot, struct in_addr *ret4,
			struct in6_addr *ret6);
uint32_t cx_slots_capacity(const struct cx_slots_plan *plan);

#endif
