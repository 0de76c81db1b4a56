/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_FIREWALL_INNER_H
#define CX_NET_FIREWALL_INNER_H

#include "net/firewall.h"
#include "net/nftset.h"
#include "net/parts.h"

/* What the kernel's sets say of each slot, kept so that it can be taken out again. */

enum { CX_FORMER_MAX = 16 }; /* a flow that sleeps through more changes of its policy is refused */

struct cx_permitted {
	uint64_t key; /* hash of number, address and port */
	uint64_t until_ms;
};

struct cx_fwslot {
	uint32_t number; /* 0: no policy */
	uint32_t link;
	enum cx_egress mode;
	bool names;
	uint8_t turn;				 /* 0-3, another than that of the policy before */
	uint32_t nformer, former[CX_FORMER_MAX]; /* oldest first */
	uint32_t nparts, npermitted;
	struct cx_part *parts;
	struct cx_permitted *permitted; /* also of earlier numbers and sandboxes, until they end */
};

struct cx_firewall {
	const struct cx_router *router;
	struct cx_nft nft;
	char table[64]; /* of the host */
	uint32_t last;	/* number given last */
	uint32_t nslots;
	struct cx_fwslot slots[];
};

/* CX_INVALID when there is no such slot. */
CX_MUST int cx_fwslot_find(struct cx_firewall *fw, uint32_t slot, struct cx_fwslot **ret,
			   struct cx_err *err);

/* ---- fwelem.c: what the elements of router.nft's sets are -------------------------------------
 */

/*
 * The mark of a packet while ports of a class are looked for: bit 31, the slot (16 bits), the turn
 * of its policy (2) and the class (13), so that it is of this policy only. Without the class it is
 * the key of "owners", which has the number. Numbers are below.
 */
#define CX_FWELEM_CLASSES 0x80000000u
#define CX_FWELEM_OWNER	  0xffffe000u
uint32_t cx_fwelem_owner(uint32_t slot, const struct cx_fwslot *s);

/* The element for one part of a policy; its set is cx_part_sets[part->set]. */
struct cx_nft_elem cx_fwelem_of_part(uint32_t slot, const struct cx_fwslot *s,
				     const struct cx_part *part);
/* And back; *ret_mark is the key's: a number of a network, of ports a mark as above. */
CX_MUST bool cx_fwelem_to_part(uint8_t set, const struct cx_nft_elem *elem, uint32_t *ret_mark,
			       struct cx_part *ret);
uint32_t cx_fwelem_slot_of(uint32_t owner);
uint8_t cx_fwelem_turn_of(uint32_t owner);

/* Keys of numbers, current, former, links and members. */
struct cx_nft_elem cx_fwelem_of_link(uint32_t slot);
struct cx_nft_elem cx_fwelem_of_pair(uint32_t slot, uint32_t mark);
struct cx_nft_elem cx_fwelem_of_number(uint32_t number);
uint32_t cx_fwelem_u32(const struct cx_nft_elem *elem, unsigned place); /* 0 behind the end */

/* A mode has a set, which holds the numbers of its policies. */
struct cx_fwelem_mode {
	const char *set;
	enum cx_egress mode;
	bool names, rules; /* whether it has any */
};
enum { CX_FWELEM_MODES = 4 };
extern const struct cx_fwelem_mode cx_fwelem_modes[CX_FWELEM_MODES];
const struct cx_fwelem_mode *cx_fwelem_mode(const struct cx_fwslot *s); /* NULL: refused */

#endif
