/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/firewall_inner.h"

static const char *const chains[CX_EGRESS_MAX] = {
	[CX_EGRESS_NONE] = NULL, /* no element: refused */
	[CX_EGRESS_ALL] = "mode_all",
	[CX_EGRESS_ALLOW] = "mode_allow",
	[CX_EGRESS_DENY] = "mode_deny",
};

const struct cx_fwelem_set cx_fwelem_part_sets[] = {
	{ "nets4", 4, 0 },	    { "nets6", 6, 0 },		{ "tcp4", 4, IPPROTO_TCP },
	{ "tcp6", 6, IPPROTO_TCP }, { "udp4", 4, IPPROTO_UDP }, { "udp6", 6, IPPROTO_UDP },
};
const size_t cx_fwelem_npart_sets = CX_LEN(cx_fwelem_part_sets);

const char *cx_fwelem_chain(enum cx_egress mode)
{
	return chains[mode];
}

enum cx_egress cx_fwelem_mode(const char *chain)
{
	for (unsigned i = 0; i < CX_EGRESS_MAX; i++)
		if (chain != NULL && chains[i] != NULL && strcmp(chains[i], chain) == 0)
			return (enum cx_egress)i;
	return CX_EGRESS_NONE;
}

struct cx_nft_elem cx_fwelem_of_link(uint32_t slot)
{
	struct cx_nft_elem elem = { 0 };

	cx_nft_key_u32(&elem.key, slot + CX_ROUTER_LINK_INDEX);
	return elem;
}

struct cx_nft_elem cx_fwelem_of_pair(uint32_t slot, uint32_t mark)
{
	struct cx_nft_elem elem = cx_fwelem_of_link(slot);

	cx_nft_key_u32(&elem.key, mark);
	return elem;
}

struct cx_nft_elem cx_fwelem_of_number(uint32_t number)
{
	struct cx_nft_elem elem = { 0 };

	cx_nft_key_u32(&elem.key, number);
	return elem;
}

uint32_t cx_fwelem_u32(const struct cx_nft_elem *elem, unsigned place)
{
	uint32_t value = 0;

	if (elem->key.len >= (place + 1) * sizeof value)
		memcpy(&value, elem->key.bytes + place * sizeof value, sizeof value);
	return value;
}

static void add_end(struct cx_nft_key *key, uint32_t number, const uint8_t *address, size_t length,
		    uint16_t port, bool has_port)
{
	uint16_t net_port = htons(port);

	/* nft turns marks around where a set has intervals. */
	cx_nft_key_u32(key, htonl(number));
	cx_nft_key_add(key, address, length);
	if (has_port)
		cx_nft_key_add(key, &net_port, sizeof net_port);
}

const char *cx_fwelem_of_part(uint32_t number, const struct cx_part *part, struct cx_nft_elem *ret)
{
	size_t length = part->family == 4 ? 4 : 16;

	for (size_t i = 0; i < cx_fwelem_npart_sets; i++) {
		const struct cx_fwelem_set *set = &cx_fwelem_part_sets[i];

		if (set->family != part->family || set->protocol != part->protocol)
			continue;
		*ret = (struct cx_nft_elem){ 0 };
		add_end(&ret->key, number, part->first, length, part->low, set->protocol != 0);
		add_end(&ret->end, number, part->last, length, part->high, set->protocol != 0);
		return set->name;
	}
	return NULL;
}

static uint16_t port_at(const struct cx_nft_key *key, size_t at)
{
	return (uint16_t)(key->bytes[at] << 8 | key->bytes[at + 1]);
}

bool cx_fwelem_to_part(const struct cx_fwelem_set *set, const struct cx_nft_elem *elem,
		       uint32_t *ret_number, struct cx_part *ret)
{
	size_t length = set->family == 4 ? 4 : 16;
	size_t size = 4 + length + (set->protocol != 0 ? 4 : 0);
	const struct cx_nft_key *end = elem->end.len > 0 ? &elem->end : &elem->key;

	if (elem->key.len != size || end->len != size)
		return false;
	*ret_number = ntohl(cx_fwelem_u32(elem, 0));
	*ret = (struct cx_part){ .family = set->family, .protocol = set->protocol, .high = 65535 };
	memcpy(ret->first, elem->key.bytes + 4, length);
	memcpy(ret->last, end->bytes + 4, length);
	if (set->protocol != 0) {
		ret->low = port_at(&elem->key, 4 + length);
		ret->high = port_at(end, 4 + length);
	}
	return true;
}
