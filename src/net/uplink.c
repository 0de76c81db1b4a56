/* SPDX-License-Identifier: Apache-2.0 */
#include "net/uplink.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

/* 169.254.192.0: far from the metadata addresses of clouds. */
#define PAIR4 0xa9fec000U

enum {
	MTU_MIN = 1280, /* of IPv6 */
	MTU_MAX = 65535,
	MTU_USUAL = 1500,
};

static const uint8_t pair6[16] = { 0xfd, 0xca, 0x15, 0x51 };
static const uint8_t mac[6] = { 0x06, 0xca, 0xff, 0xff, 0xff, 0xff };

static uint32_t instance_number(const char *instance)
{
	uint8_t bytes[4];

	if (!cx_from_hex(instance, bytes, sizeof bytes))
		return 0;
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

void cx_uplink_addresses(const char *instance, unsigned i, struct in_addr *ret_host,
			 struct in_addr *ret_inside)
{
	uint32_t pair = (instance_number(instance) + i) % CX_UPLINK_PAIRS;

	ret_host->s_addr = htonl(PAIR4 + 2 * pair);
	ret_inside->s_addr = htonl(PAIR4 + 2 * pair + 1);
}

static void set_addresses6(struct cx_router *r, const char *instance)
{
	uint32_t number = htonl(instance_number(instance));

	memcpy(r->host6.s6_addr, pair6, sizeof pair6);
	memcpy(r->host6.s6_addr + 4, &number, sizeof number);
	r->uplink6 = r->host6;
	r->host6.s6_addr[15] = 2;
	r->uplink6.s6_addr[15] = 3;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* What leaves the host by its default route fits into what comes from sandboxes. */
static uint32_t find_mtu(struct cx_rtnl *host)
{
	const struct cx_ip outside = cx_ip_of("192.0.2.1"); /* of nobody: the default route */
	struct cx_link_info link;
	struct cx_err none;
	uint32_t index = 0;

	if (cx_rtnl_route_to(host, &outside, &index, &none) < 0 ||
	    cx_rtnl_find_link(host, NULL, index, &link, &none) < 0)
		return MTU_USUAL;
	return link.mtu < MTU_MIN ? MTU_MIN : link.mtu > MTU_MAX ? MTU_MAX : link.mtu;
}

struct taken {
	uint8_t pairs[CX_UPLINK_PAIRS / 8];
};

static void note_taken(uint32_t index, const struct cx_ip *ip, void *arg)
{
	struct taken *taken = arg;
	uint32_t pair = (ntohl(ip->v4.s_addr) - PAIR4) / 2;

	(void)index;
	if (pair < CX_UPLINK_PAIRS)
		taken->pairs[pair / 8] |= (uint8_t)(1U << pair % 8);
}

static int choose_addresses(struct cx_rtnl *host, const char *instance, struct cx_router *r,
			    struct cx_err *err)
{
	struct taken taken = { 0 };

	if (cx_rtnl_each_address(host, AF_INET, note_taken, &taken, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < CX_UPLINK_PAIRS; i++) {
		uint32_t pair;

		cx_uplink_addresses(instance, i, &r->host4, &r->uplink4);
		pair = (ntohl(r->host4.s_addr) - PAIR4) / 2;
		if ((taken.pairs[pair / 8] & 1U << pair % 8) == 0)
			return 0;
	}
	return cx_refuse(err, CX_LIMIT, "no pair of addresses of 169.254.192.0/19 is free");
}

struct present {
	uint32_t index;
	struct in_addr address;
};

static void note_present(uint32_t index, const struct cx_ip *ip, void *arg)
{
	struct present *p = arg;

	if (index == p->index)
		p->address = ip->v4;
}

/* Whether both ends are there, belong together and have addresses that do. */
static bool find_pair(struct cx_rtnl *host, struct cx_rtnl *inside, struct cx_router *r)
{
	struct present outer = { 0 }, inner = { .index = CX_ROUTER_UPLINK_INDEX };
	struct cx_link_info outer_link, inner_link;
	struct cx_err none;

	if (cx_rtnl_find_link(inside, NULL, CX_ROUTER_UPLINK_INDEX, &inner_link, &none) < 0 ||
	    cx_rtnl_find_link(host, r->host_name, 0, &outer_link, &none) < 0 ||
	    outer_link.index != inner_link.peer || outer_link.peer != inner_link.index)
		return false;
	outer.index = outer_link.index;
	if (cx_rtnl_each_address(host, AF_INET, note_present, &outer, &none) < 0 ||
	    cx_rtnl_each_address(inside, AF_INET, note_present, &inner, &none) < 0 ||
	    outer.address.s_addr == 0 ||
	    ntohl(outer.address.s_addr) + 1 != ntohl(inner.address.s_addr))
		return false;
	r->host_index = outer_link.index;
	r->host4 = outer.address;
	r->uplink4 = inner.address;
	return true;
}

/* ---- making ---------------------------------------------------------------------------------- */

void cx_uplink_remove(struct cx_rtnl *host, const struct cx_router *router)
{
	struct cx_link_info link;
	struct cx_err none;

	if (cx_rtnl_find_link(host, router->host_name, 0, &link, &none) == 0)
		(void)!cx_rtnl_remove_link(host, link.index, &none);
}

/* From the inside, for only so the number of that end can be chosen. */
static int make_pair(struct cx_rtnl *host, struct cx_rtnl *inside, struct cx_router *r,
		     struct cx_err *err)
{
	struct cx_veth_end near = { .name = CX_ROUTER_UPLINK, .index = CX_ROUTER_UPLINK_INDEX };
	struct cx_veth_end far = { .name = r->host_name };
	struct cx_link_info link;
	struct cx_err none;

	memcpy(near.mac, mac, sizeof mac);
	memcpy(far.mac, mac, sizeof mac);
	cx_uplink_remove(host, r);
	(void)!cx_rtnl_remove_link(inside, CX_ROUTER_UPLINK_INDEX, &none); /* with its lost end */
	if (cx_rtnl_add_veth(inside, &near, &far, r->home, r->mtu, err) < 0 ||
	    cx_rtnl_find_link(host, r->host_name, 0, &link, err) < 0)
		return -err->errnum;
	r->host_index = link.index;
	return 0;
}

static int add_addresses(struct cx_rtnl *host, struct cx_rtnl *inside, const struct cx_router *r,
			 struct cx_err *err)
{
	const struct cx_ip outer[] = { cx_ip4(r->host4), cx_ip6(r->host6) };
	const struct cx_ip inner[] = { cx_ip4(r->uplink4), cx_ip6(r->uplink6) };

	for (size_t i = 0; i < (r->ip6 ? 2 : 1); i++) {
		uint8_t prefix = (uint8_t)(8 * cx_ip_size(&outer[i]) - 1);
		const struct cx_route out = { .index = CX_ROUTER_UPLINK_INDEX, .via = outer[i] };

		if (cx_rtnl_add_address(host, r->host_index, &outer[i], prefix, err) < 0 ||
		    cx_rtnl_add_address(inside, CX_ROUTER_UPLINK_INDEX, &inner[i], prefix, err) <
			    0 ||
		    cx_rtnl_add_route(inside, &out, err) < 0)
			return -err->errnum;
	}
	return 0;
}

int cx_uplink_open(struct cx_rtnl *host, struct cx_rtnl *inside, struct cx_router *router,
		   struct cx_err *err)
{
	const char *instance = router->host_name + 2;

	router->mtu = find_mtu(host);
	if (router->ip6)
		set_addresses6(router, instance);
	if (!find_pair(host, inside, router) &&
	    (choose_addresses(host, instance, router, err) < 0 ||
	     make_pair(host, inside, router, err) < 0))
		return cx_wrap(err, "uplink");
	if (cx_rtnl_set_link(host, router->host_index, router->mtu, err) < 0 ||
	    cx_rtnl_set_link(inside, CX_ROUTER_UPLINK_INDEX, router->mtu, err) < 0 ||
	    add_addresses(host, inside, router, err) < 0)
		return cx_wrap(err, "uplink");
	return 0;
}
