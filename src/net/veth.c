/* SPDX-License-Identifier: Apache-2.0 */
#include "net/veth.h"

#include <string.h>

#include "base/str.h"
#include "net/sysctl.h"

/*
 * Of eth0. Below it is what the kernel makes by itself. A link with the same number at both ends
 * would carry nothing for up to a second: the kernel takes it for one that is in no hurry.
 */
enum { INSIDE_INDEX = CX_ROUTER_LINK_INDEX - 1 };

/* For links that are made from now on: lo stays as it is. */
static const struct cx_sysctl_row settings[] = {
	{ "net/ipv4/conf/default/accept_redirects", "0", "there is one way out", CX_SYSCTL_ALWAYS },
	{ "net/ipv6/conf/default/disable_ipv6", "1",
	  "no address, and nothing is sent to find neighbours or routers", CX_SYSCTL_WITHOUT_IP6 },
	{ "net/ipv6/conf/default/accept_ra", "0", "it is told all by us", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/accept_redirects", "0", "there is one way out",
	  CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/addr_gen_mode", "1", "it has the address it is given",
	  CX_SYSCTL_WITH_IP6 },
};

static int make_pair(struct cx_rtnl *inside, int router_ns, const struct cx_slot_link *link,
		     const uint8_t mac[6], struct cx_err *err)
{
	struct cx_veth_end near = { .name = "eth0", .index = INSIDE_INDEX };
	struct cx_veth_end far = { .index = link->index };
	char name[IFNAMSIZ];

	if (cx_format(name, sizeof name, "s%u", err, link->slot) < 0)
		return -err->errnum;
	far.name = name;
	memcpy(near.mac, mac, sizeof near.mac);
	memcpy(far.mac, mac, sizeof far.mac);
	return cx_rtnl_add_veth(inside, &near, &far, router_ns, link->mtu, err);
}

/* Each end limits what leaves by it. */
static int limit(struct cx_rtnl *inside, struct cx_rtnl *router, const struct cx_slot_link *link,
		 struct cx_err *err)
{
	if (link->bandwidth == 0)
		return 0;
	if (cx_rtnl_limit(inside, INSIDE_INDEX, link->bandwidth, err) < 0 ||
	    cx_rtnl_limit(router, link->index, link->bandwidth, err) < 0)
		return -err->errnum;
	return 0;
}

/* Both ways of one family, with the neighbours that nobody would answer for. */
static int add_ways(struct cx_rtnl *inside, struct cx_rtnl *router, const struct cx_slot_link *link,
		    const struct cx_ip *ip, const uint8_t mac[6], struct cx_err *err)
{
	bool ip6 = ip->family == AF_INET6;
	uint8_t prefix = (uint8_t)(8 * cx_ip_size(ip));
	const struct cx_ip gateway = cx_ip_of(ip6 ? CX_ROUTER_GATEWAY6 : CX_ROUTER_GATEWAY4);
	const struct cx_ip hop = ip6 ? cx_ip_of(CX_ROUTER_HOP6) : gateway;
	const struct cx_route out = { .index = INSIDE_INDEX, .via = hop };
	const struct cx_route back = {
		.index = link->index, .to = *ip, .prefix = prefix, .source = gateway
	};

	if (cx_rtnl_add_address(inside, INSIDE_INDEX, ip, prefix, err) < 0 ||
	    cx_rtnl_add_neighbour(inside, INSIDE_INDEX, &hop, mac, err) < 0 ||
	    cx_rtnl_add_route(inside, &out, err) < 0)
		return -err->errnum;
	if (cx_rtnl_add_neighbour(router, link->index, ip, mac, err) < 0 ||
	    cx_rtnl_add_route(router, &back, err) < 0)
		return cx_wrap(err, "router");
	return 0;
}

int cx_veth_make(struct cx_rtnl *router, int router_ns, const struct cx_slot_link *link,
		 struct cx_err *err)
{
	const struct cx_ip ip4 = cx_ip4(link->address4), ip6 = cx_ip6(link->address6);
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *inside = NULL;
	bool has6 = !IN6_IS_ADDR_UNSPECIFIED(&link->address6);
	uint8_t mac[6] = { 0x06, 0xca }; /* locally administered, different for each */

	memcpy(mac + 2, &link->address4, 4);
	if (cx_sysctl_write("/proc/sys", settings, CX_LEN(settings), has6, err) < 0 ||
	    cx_rtnl_open(&inside, err) < 0 || make_pair(inside, router_ns, link, mac, err) < 0 ||
	    cx_rtnl_set_link(router, link->index, 0, err) < 0 ||
	    limit(inside, router, link, err) < 0 ||
	    add_ways(inside, router, link, &ip4, mac, err) < 0 ||
	    (has6 && add_ways(inside, router, link, &ip6, mac, err) < 0))
		return cx_wrap(err, "link of slot %u", link->slot);
	return 0;
}
