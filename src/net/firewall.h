/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_FIREWALL_H
#define CX_NET_FIREWALL_H

#include "base/buf.h"
#include "net/router.h"
#include "net/slots.h"
#include "proto/control_msgs.h"
#include "proto/netrule.h"

/*
 * What sandboxes may reach. Two static rulesets, each loaded as one transaction: table "inet
 * caisson" of the router (router.nft) decides about every packet of a sandbox, table "inet
 * caisson-<instance>" of the host (host.nft) hides the host from the uplink and masquerades. What
 * differs between sandboxes stands in sets and maps of the router's table only, which caissond
 * changes by one transaction for each change; none of it is text.
 *
 * A link without a policy is closed: until cx_firewall_set() its sandbox reaches the resolver and
 * nothing else. Rules and sets stay in force while caissond is gone.
 */
enum {
	CX_SERVICES_MAX = 64,
	CX_PRIVATE_MAX = 64,
	CX_PERMITS_MAX = 2048,	    /* of names' addresses and ports at a time, of one slot */
	CX_FIREWALL_LOG_GROUP = 29, /* NFLOG, in the router */
	CX_FIREWALL_LOG_BYTES = 128,
};

/* [services]: what sandboxes reach whatever their policy says, TCP and UDP, also on the host. */
struct cx_service {
	char name[64];	/* by which the resolver knows it */
	uint8_t family; /* 4 or 6 */
	uint16_t port;
	uint8_t address[16]; /* the first 4 of IPv4 */
};

struct cx_firewall_plan {
	const struct cx_router *router; /* the caller's, as long as the firewall is open */
	/* Has nft load a text as one transaction in that network namespace, and waits for it. */
	int (*load)(void *arg, int netns, const struct cx_buf *text, struct cx_err *err);
	void *arg;			  /* load's */
	const char *table;		  /* of the host: "caisson-<instance>" */
	uint32_t slots;			  /* how many there are */
	const struct cx_netrule *allowed; /* [network] allow_private: protocol and ports are 0 */
	uint32_t nallowed;		  /* up to CX_PRIVATE_MAX */
	const struct cx_service *services;
	uint32_t nservices;   /* up to CX_SERVICES_MAX */
	uint32_t connections; /* tracked at once, of each sandbox */
	uint32_t packets;     /* a second from each sandbox; what is above is dropped */
};

struct cx_firewall;

/*
 * Loads both tables and sets limits of the router's connection tracking. Policies that an earlier
 * caissond set stay in force and keep their numbers, unless its sets were of another make: then all
 * are closed until they are set again. Called before the first link is made. CX_UNAVAILABLE, with
 * what to do, when the kernel lacks something.
 */
CX_MUST int cx_firewall_open(const struct cx_firewall_plan *plan, struct cx_firewall **ret,
			     struct cx_err *err);
/* clean: the host's table goes; the router's goes with its namespace. NULL is fine. */
void cx_firewall_close(struct cx_firewall *fw, bool clean);
/* Removes the table of the host that an earlier caissond left; none is fine. In its namespace. */
void cx_firewall_discard(const char *table);

/*
 * Puts a policy in force; the old one is replaced in the same instant. Open flows that stay allowed
 * go on, others are refused with their next packet. With names a flow that no rule allows has some
 * seconds (CX_FIREWALL_GRACE_S), in which its packets are lost, for its address to be permitted
 * anew. CX_INVALID when the rules come to too many parts. *ret_number is of this policy only (never
 * 0).
 */
enum { CX_FIREWALL_GRACE_S = 5 };
struct cx_firewall_policy {
	enum cx_egress mode;
	bool names;    /* of CX_EGRESS_ALLOW: cx_firewall_permit() may come */
	uint32_t link; /* 0, or of which network the sandbox is */
	const struct cx_netrule *rules;
	uint32_t nrules;
};
CX_MUST int cx_firewall_set(struct cx_firewall *fw, uint32_t slot,
			    const struct cx_firewall_policy *policy, uint32_t *ret_number,
			    struct cx_err *err);

/* What cx_firewall_set() said last of a slot, this caissond's or an earlier one's; 0: nothing. */
uint32_t cx_firewall_number(const struct cx_firewall *fw, uint32_t slot);

/* Ports of a permit: low and high, TCP and UDP. */
struct cx_port_range {
	uint16_t low, high;
};

/*
 * Lets a sandbox reach an address for ttl_s seconds (1 - 86400; open flows outlive them). nports 0:
 * every port and protocol; else at most CX_PERMIT_PORTS_MAX ports in all. Once more for an address
 * that is permitted renews it. Private addresses stay closed. CX_CONFLICT when number is not the
 * slot's, CX_DENIED when its policy is without names, CX_LIMIT when it has CX_PERMITS_MAX.
 */
struct cx_permit {
	uint32_t slot, number;
	uint8_t family; /* 4 or 6 */
	uint8_t address[16];
	uint32_t ttl_s;
	const struct cx_port_range *ports;
	uint32_t nports;
};
CX_MUST int cx_firewall_permit(struct cx_firewall *fw, const struct cx_permit *permit,
			       struct cx_err *err);

/*
 * Closes a slot, whose sandbox is gone, and forgets its flows. Before the slot is given again.
 * Harmless when there is nothing. On failure the slot must not be given again.
 */
CX_MUST int cx_firewall_forget(struct cx_firewall *fw, uint32_t slot, struct cx_err *err);
/* For a restart: calls fn for each slot that has a policy, so that those without owner can go. */
void cx_firewall_each(const struct cx_firewall *fw, void (*fn)(void *arg, uint32_t slot),
		      void *arg);

/*
 * A netlink socket of the router that hears of refused packets, for the resolver
 * (CX_RESOLVER_FD_DENIALS); only one such can be open. Messages are NFNL_SUBSYS_ULOG,
 * NFULNL_MSG_PACKET, nfgen_family AF_INET or AF_INET6, several in one datagram, with
 *
 *	NFULA_IFINDEX_INDEV	be32: slot + CX_ROUTER_LINK_INDEX; what is below: ignore it
 *	NFULA_MARK		be32: number of the policy in force; lacking: the slot has none
 *	NFULA_PREFIX		string, why: a row of CX_FIREWALL_REFUSALS
 *	NFULA_PAYLOAD		the first CX_FIREWALL_LOG_BYTES of the packet, from its IP header
 *on, as the sandbox sent it: hostile
 *
 * At most 4 a second (20 at once) of each sandbox. Returns the descriptor, non-blocking.
 */
CX_MUST int cx_firewall_listen(const struct cx_firewall *fw, struct cx_err *err);

#define CX_FIREWALL_REFUSALS(R)                                  \
	R("policy", "its policy does not allow it")              \
	R("private", "a private or reserved address")            \
	R("peer", "another sandbox it is not linked with")       \
	R("host", "an address of the host or the router itself") \
	R("source", "not sent from its own address")             \
	R("connections", "too many open connections")

#endif
