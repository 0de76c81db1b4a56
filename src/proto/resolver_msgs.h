/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_RESOLVER_MSGS_H
#define CX_PROTO_RESOLVER_MSGS_H

#include "proto/msg.h"

/*
 * The two protocols of caisson-resolver, each over a SOCK_SEQPACKET pair of its own. It parses what
 * sandboxes and name servers send, so neither side believes it more than is said here.
 *
 * With the gateway, which tells it what names mean to each sandbox. A sandbox is known by the slot
 * of its link (the resolver sees the source address, control_msgs.h says which slot has it); number
 * is that of its policy, from egress_set. names_begin, then any name_rule and peer, then names_end
 * replace all that was known of a slot; until the first names_end it gets REFUSED for everything
 * but declared services. The answer to names_end is names_set with the same request number, when
 * the new rules are in force and every address that the sandbox was told before and may still reach
 * is permitted anew. forget has no answer. denied is an event.
 *
 * A gateway that gets a new resolver tells it the names of all its sandboxes and then names_told.
 * Until that, but for five seconds at most, sandboxes' questions wait: so no sandbox is refused a
 * name because a process began anew.
 *
 * With caissond, which it asks to let a sandbox reach an address that belongs to an allowed name.
 * A permit for a number that is not the slot's present one is refused as CX_CONFLICT; the question
 * then waits for the slot's next names_end. Another refusal takes the address out of the answer.
 * Answered one by one.
 */
enum { CX_NAME_MAX = 253, CX_PERMIT_PORTS_MAX = 64, CX_WHY_MAX = 31 };

/* With the gateway. */
#define CX_RESOLVER_MSGS(M)                     \
	M(0x01, names_begin, CX_FIELDS_NAMES)   \
	M(0x02, name_rule, CX_FIELDS_NAME_RULE) \
	M(0x03, peer, CX_FIELDS_PEER)           \
	M(0x04, names_end, CX_FIELDS_SLOT)      \
	M(0x05, names_set, CX_FIELDS_SLOT)      \
	M(0x06, names_forget, CX_FIELDS_SLOT)   \
	M(0x07, denied, CX_FIELDS_DENIED)       \
	M(0x08, names_told, CX_FIELDS_NONE)
/* mode: enum cx_egress. Of ALLOW the rules say which names exist, of DENY which do not. */
#define CX_FIELDS_NAMES(F) F(u32, slot, UINT32_MAX) F(u32, number, UINT32_MAX) F(u32, mode, 3)
/*
 * name: lower case ASCII (IDNA A-labels), without a dot at its end, or "*." and such a name, which
 * means all names below it but not itself. any_port 1: every port and protocol; else ports: pairs
 * of u16 little endian, low and high, TCP and UDP, all ranges together at most
 * CX_PERMIT_PORTS_MAX ports.
 */
#define CX_FIELDS_NAME_RULE(F)   \
	F(u32, slot, UINT32_MAX) \
	F(str, name, CX_NAME_MAX + 2) F(u32, any_port, 1) F(bytes, ports, 4 * CX_PERMIT_PORTS_MAX)
/* Another sandbox that this one is linked with; an address it lacks is empty. */
#define CX_FIELDS_PEER(F)        \
	F(u32, slot, UINT32_MAX) \
	F(str, name, CX_NAME_MAX) F(bytes, address4, 4) F(bytes, address6, 16)
#define CX_FIELDS_SLOT(F) F(u32, slot, UINT32_MAX)
/*
 * What a sandbox was refused: a packet (address, protocol, port; name empty) or a name (address
 * empty). why: a word, of a packet that of CX_FIREWALL_REFUSALS (net/firewall.h), of a name
 * "policy", or "private" when all its addresses are. count: how many like it since the last one
 * told; at most a few a second of each slot.
 */
#define CX_FIELDS_DENIED(F)        \
	F(u32, slot, UINT32_MAX)   \
	F(u32, number, UINT32_MAX) \
	F(bytes, address, 16)      \
	F(u32, protocol, 255)      \
	F(u32, port, 65535)        \
	F(str, name, CX_NAME_MAX) F(str, why, CX_WHY_MAX) F(u32, count, UINT32_MAX)

/* With caissond. */
#define CX_PERMIT_MSGS(M)                                                                    \
	M(0x01, service, CX_FIELDS_SERVICE)   /* at the start, one for each of [services] */ \
	M(0x02, upstream, CX_FIELDS_UPSTREAM) /* the same, name servers in order */          \
	M(0x03, services_end, CX_FIELDS_NONE) /* behind the last of these */                 \
	M(0x04, permit, CX_FIELDS_PERMIT)                                                    \
	M(0x05, permitted, CX_FIELDS_NONE)                                                   \
	M(0x06, permit_error, CX_FIELDS_PERMIT_ERROR)                                        \
	M(0x07, pools, CX_FIELDS_POOLS)		/* at the start, before services_end */      \
	M(0x08, reachable, CX_FIELDS_REACHABLE) /* the same, one for each of allow_private */
#define CX_FIELDS_SERVICE(F)  F(str, name, CX_NAME_MAX) F(bytes, address, 16) F(u32, port, 65535)
#define CX_FIELDS_UPSTREAM(F) F(bytes, address, 16) F(u32, port, 65535)
/*
 * Slot s has the address base4 + s (base6 + s, empty: none), and its link in the router the index
 * ifindex + s.
 */
#define CX_FIELDS_POOLS(F)   \
	F(bytes, base4, 4)   \
	F(bytes, base6, 16)  \
	F(u32, slots, 65536) \
	F(u32, ifindex, INT32_MAX)
/* Private addresses that sandboxes may be told; all others are taken out of answers. */
#define CX_FIELDS_REACHABLE(F) F(bytes, address, 16) F(u32, prefix, 128)
/* address: 4 or 16 bytes; ttl_s: from now on; the rest as in name_rule. */
#define CX_FIELDS_PERMIT(F)        \
	F(u32, slot, UINT32_MAX)   \
	F(u32, number, UINT32_MAX) \
	F(bytes, address, 16)      \
	F(u32, ttl_s, 86400) F(u32, any_port, 1) F(bytes, ports, 4 * CX_PERMIT_PORTS_MAX)
#define CX_FIELDS_PERMIT_ERROR(F) \
	F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503)

/* Descriptors that the resolver inherits from caissond, by number. */
enum {
	CX_RESOLVER_FD_CAISSOND = 3, /* SOCK_SEQPACKET */
	CX_RESOLVER_FD_GATEWAY = 4,  /* SOCK_SEQPACKET */
	CX_RESOLVER_FD_UDP = 5,	     /* bound to the address that sandboxes ask, port 53 */
	CX_RESOLVER_FD_TCP = 6,	     /* listening there */
	CX_RESOLVER_FD_DENIALS = 7,  /* NFLOG netlink socket, bound to its group */
	CX_RESOLVER_FD_UDP6 = 8,     /* as above, of IPv6; /dev/null when there is none */
	CX_RESOLVER_FD_TCP6 = 9,
};

CX_RESOLVER_MSGS(CX_AS_MSG)
CX_PERMIT_MSGS(CX_AS_MSG)

#endif
