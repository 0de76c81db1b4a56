/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_RTNL_H
#define CX_NET_RTNL_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Links, addresses and routes over rtnetlink; the one door to libnl. A struct cx_rtnl speaks to the
 * network namespace that it was opened in, wherever its owner goes. Each call is one question to
 * the kernel and waits for its answer. An error carries the kernel's errno.
 */
struct cx_rtnl;

CX_MUST int cx_rtnl_open(struct cx_rtnl **ret, struct cx_err *err);
void cx_rtnl_close(struct cx_rtnl *rtnl); /* NULL is fine */
CX_DEFINE_AUTO(struct cx_rtnl *, cx_rtnl_close);

struct cx_veth_end {
	const char *name;
	uint32_t index; /* 0: the kernel's choice, which then also goes for the far end */
	uint8_t mac[6];
};

/*
 * Both ends are IFF_NOARP and have one queue. The far end is made in the namespace far_ns, where it
 * is down until its own cx_rtnl_set_link(): it cannot be up before there is a near one, which is.
 */
CX_MUST int cx_rtnl_add_veth(struct cx_rtnl *rtnl, const struct cx_veth_end *near,
			     const struct cx_veth_end *far, int far_ns, uint32_t mtu,
			     struct cx_err *err);

struct cx_link_info {
	uint32_t index, peer, mtu; /* peer: ifindex of the other end, 0 when it has none */
	char name[IFNAMSIZ];
};

/* By name, or by index when name is NULL. -ENODEV when there is none. */
CX_MUST int cx_rtnl_find_link(struct cx_rtnl *rtnl, const char *name, uint32_t index,
			      struct cx_link_info *ret, struct cx_err *err);
CX_MUST int cx_rtnl_each_link(struct cx_rtnl *rtnl,
			      void (*fn)(const struct cx_link_info *link, void *arg), void *arg,
			      struct cx_err *err);
CX_MUST int cx_rtnl_remove_link(struct cx_rtnl *rtnl, uint32_t index, struct cx_err *err);
/* Up, and with mtu unless that is 0. */
CX_MUST int cx_rtnl_set_link(struct cx_rtnl *rtnl, uint32_t index, uint32_t mtu,
			     struct cx_err *err);

/* What leaves by a link, in bytes a second; short bursts pass. */
CX_MUST int cx_rtnl_limit(struct cx_rtnl *rtnl, uint32_t index, uint64_t bytes_s,
			  struct cx_err *err);

/* An address of either family. */
struct cx_ip {
	uint8_t family; /* AF_INET, AF_INET6; AF_UNSPEC: none */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};
struct cx_ip cx_ip4(struct in_addr address);
struct cx_ip cx_ip6(struct in6_addr address);
/* Of a text that is one. */
struct cx_ip cx_ip_of(const char *text);
uint8_t cx_ip_size(const struct cx_ip *ip); /* bytes: 4, 16 or 0 */

/* Those that are there already are fine, here and below. */
CX_MUST int cx_rtnl_add_address(struct cx_rtnl *rtnl, uint32_t index, const struct cx_ip *ip,
				uint8_t prefix, struct cx_err *err);
CX_MUST int cx_rtnl_each_address(struct cx_rtnl *rtnl, int family,
				 void (*fn)(uint32_t index, const struct cx_ip *ip, void *arg),
				 void *arg, struct cx_err *err);

struct cx_route {
	uint32_t index;
	struct cx_ip to; /* AF_UNSPEC: every address of via's family */
	uint8_t prefix;
	struct cx_ip via;    /* AF_UNSPEC: on the link itself; else taken to be on the link */
	struct cx_ip source; /* of what the host itself sends; AF_UNSPEC: none said */
};
CX_MUST int cx_rtnl_add_route(struct cx_rtnl *rtnl, const struct cx_route *route,
			      struct cx_err *err);
/* Where a packet to ip would leave. -ENETUNREACH when nowhere. */
CX_MUST int cx_rtnl_route_to(struct cx_rtnl *rtnl, const struct cx_ip *ip, uint32_t *ret_index,
			     struct cx_err *err);

/* For good: it does not count against what the kernel keeps of neighbours. */
CX_MUST int cx_rtnl_add_neighbour(struct cx_rtnl *rtnl, uint32_t index, const struct cx_ip *ip,
				  const uint8_t mac[6], struct cx_err *err);

#endif
