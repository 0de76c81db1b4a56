/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/nflog.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

enum { EXTENSIONS_MAX = 8, FRAGMENT_OFFSET = 0x1fff };

static uint16_t u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP;
}

static bool take_ip4(const uint8_t *p, size_t len, struct cx_refusal *r)
{
	size_t header = len > 0 ? 4U * (p[0] & 15) : 0;

	if (len < sizeof(struct iphdr) || p[0] >> 4 != 4 || header < sizeof(struct iphdr))
		return false;
	r->protocol = p[9];
	r->to.len = 4;
	memcpy(r->to.bytes, p + 16, 4);
	if (has_ports(r->protocol) && (u16(p + 6) & FRAGMENT_OFFSET) == 0 && len >= header + 4)
		r->port = u16(p + header + 2);
	return true;
}

/* Extension headers stand between the IPv6 header and the one with the ports. */
static bool is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

static bool take_ip6(const uint8_t *p, size_t len, struct cx_refusal *r)
{
	size_t at = sizeof(struct ip6_hdr);
	bool first = true; /* fragment */

	if (len < at || p[0] >> 4 != 6)
		return false;
	r->protocol = p[6];
	r->to.len = 16;
	memcpy(r->to.bytes, p + 24, 16);
	for (unsigned i = 0; i < EXTENSIONS_MAX && at + 8 <= len; i++) {
		size_t size = 8;

		if (r->protocol == IPPROTO_FRAGMENT)
			first = (u16(p + at + 2) & 0xfff8) == 0;
		else if (is_extension(r->protocol))
			size = 8U * (p[at + 1] + 1U);
		else
			break;
		r->protocol = p[at];
		at += size;
	}
	if (first && has_ports(r->protocol) && at + 4 <= len)
		r->port = u16(p + at + 2);
	return true;
}

static void take_why(const struct nlattr *attr, char ret[CX_WHY_MAX + 1])
{
	const char *text = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr), i;

	for (i = 0; i < len && i < CX_WHY_MAX && text[i] >= 'a' && text[i] <= 'z'; i++)
		ret[i] = text[i];
	ret[i] = '\0';
}

static uint32_t take_u32(const struct nlattr *attr)
{
	uint32_t value;

	if (mnl_attr_get_payload_len(attr) != sizeof value)
		return 0;
	memcpy(&value, mnl_attr_get_payload(attr), sizeof value);
	return ntohl(value);
}

static bool take_message(const struct nlmsghdr *head, struct cx_refusal *r)
{
	const struct nfgenmsg *general = mnl_nlmsg_get_payload(head);
	const struct nlattr *attr = mnl_nlmsg_get_payload_offset(head, sizeof *general);
	/* The library's own end of a message is that of its padding, which need not be there. */
	const uint8_t *end = (const uint8_t *)head + head->nlmsg_len;
	bool known = false;

	*r = (struct cx_refusal){ 0 };
	for (; mnl_attr_ok(attr, (int)(end - (const uint8_t *)attr)); attr = mnl_attr_next(attr)) {
		const uint8_t *bytes = mnl_attr_get_payload(attr);
		size_t len = mnl_attr_get_payload_len(attr);

		switch (mnl_attr_get_type(attr)) {
		case NFULA_IFINDEX_INDEV:
			r->ifindex = take_u32(attr);
			break;
		case NFULA_MARK:
			r->number = take_u32(attr);
			break;
		case NFULA_PREFIX:
			take_why(attr, r->why);
			break;
		case NFULA_PAYLOAD:
			known = general->nfgen_family == AF_INET    ? take_ip4(bytes, len, r)
				: general->nfgen_family == AF_INET6 ? take_ip6(bytes, len, r)
								    : false;
			break;
		default:
			break;
		}
	}
	return known && r->ifindex != 0;
}

void cx_nflog_read(const uint8_t *data, size_t len,
		   void (*each)(void *arg, const struct cx_refusal *refusal), void *arg)
{
	const struct nlmsghdr *head = (const void *)data;
	int left = len < INT32_MAX ? (int)len : 0;
	struct cx_refusal refusal;

	/* The library takes a length of 2 GiB and more for a negative one, which fits. */
	for (; mnl_nlmsg_ok(head, left) && head->nlmsg_len <= (unsigned)left;
	     head = mnl_nlmsg_next(head, &left)) {
		if (head->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) &&
		    mnl_nlmsg_get_payload_len(head) >= sizeof(struct nfgenmsg) &&
		    take_message(head, &refusal))
			each(arg, &refusal);
	}
}
