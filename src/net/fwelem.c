/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "net/firewall_inner.h"

const struct cx_fwelem_mode cx_fwelem_modes[CX_FWELEM_MODES] = {
	{ "mode_all", CX_EGRESS_ALL, false, false },
	{ "mode_allow", CX_EGRESS_ALLOW, false, true },
	{ "mode_names", CX_EGRESS_ALLOW, true, true },
	{ "mode_deny", CX_EGRESS_DENY, false, true },
};

const struct cx_fwelem_mode *cx_fwelem_mode(const struct cx_fwslot *s)
{
	for (size_t i = 0; i < CX_FWELEM_MODES; i++)
		if (cx_fwelem_modes[i].mode == s->mode && cx_fwelem_modes[i].names == s->names)
			return &cx_fwelem_modes[i];
	return NULL;
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

enum { SLOT_SHIFT = 15, TURN_SHIFT = 13 };

uint32_t cx_fwelem_owner(uint32_t slot, const struct cx_fwslot *s)
{
	return CX_FWELEM_CLASSES | slot << SLOT_SHIFT | (uint32_t)s->turn << TURN_SHIFT;
}

uint32_t cx_fwelem_slot_of(uint32_t owner)
{
	return (owner & ~CX_FWELEM_CLASSES) >> SLOT_SHIFT;
}

uint8_t cx_fwelem_turn_of(uint32_t owner)
{
	return owner >> TURN_SHIFT & 3;
}

struct cx_nft_elem cx_fwelem_of_part(uint32_t slot, const struct cx_fwslot *s,
				     const struct cx_part *part)
{
	const struct cx_part_set *set = &cx_part_sets[part->set];
	uint32_t mark = cx_fwelem_owner(slot, s) | part->class;
	struct cx_nft_elem elem = cx_fwelem_of_number(set->family == 0 ? mark : s->number);

	cx_nft_key_add(&elem.key, part->value, cx_part_size(set));
	if (set->family != 0)
		elem.value = part->class == 0 ? s->number : mark;
	return elem;
}

bool cx_fwelem_to_part(uint8_t set, const struct cx_nft_elem *elem, uint32_t *ret_mark,
		       struct cx_part *ret)
{
	unsigned size = cx_part_size(&cx_part_sets[set]);
	bool is_net = cx_part_sets[set].family != 0;
	uint32_t mark;

	if (elem->key.len != sizeof mark + (size + 3) / 4 * 4)
		return false;
	*ret_mark = cx_fwelem_u32(elem, 0);
	mark = is_net ? elem->value : *ret_mark;
	*ret = (struct cx_part){ .set = set };
	if ((mark & CX_FWELEM_CLASSES) != 0)
		ret->class = (uint16_t)(mark & ~CX_FWELEM_OWNER);
	memcpy(ret->value, elem->key.bytes + sizeof mark, size);
	return is_net || ret->class != 0;
}
