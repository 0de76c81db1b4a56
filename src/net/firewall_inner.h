/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_FIREWALL_INNER_H
#define CX_NET_FIREWALL_INNER_H

#include "net/firewall.h"
#include "net/nftset.h"
#include "net/parts.h"

/* What the kernel's sets say of each slot, kept so that it can be taken out again. */

enum { CX_FORMER_MAX = 16 }; /* a flow that sleeps through more changes of its policy is cut */

struct cx_permitted {
	uint64_t key; /* hash of number, address and port */
	uint64_t until_ms;
};

struct cx_fwslot {
	uint32_t number; /* 0: no policy */
	uint32_t link;
	enum cx_egress mode;
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

/* Of an interval set: its name and element for one part of a policy, and back. */
const char *cx_fwelem_of_part(uint32_t number, const struct cx_part *part, struct cx_nft_elem *ret);
struct cx_fwelem_set {
	const char *name;
	uint8_t family, protocol;
};
extern const struct cx_fwelem_set cx_fwelem_part_sets[];
extern const size_t cx_fwelem_npart_sets;
CX_MUST bool cx_fwelem_to_part(const struct cx_fwelem_set *set, const struct cx_nft_elem *elem,
			       uint32_t *ret_number, struct cx_part *ret);

/* Keys of numbers, current, former, links and members. */
struct cx_nft_elem cx_fwelem_of_link(uint32_t slot);
struct cx_nft_elem cx_fwelem_of_pair(uint32_t slot, uint32_t mark);
struct cx_nft_elem cx_fwelem_of_number(uint32_t number);
uint32_t cx_fwelem_u32(const struct cx_nft_elem *elem, unsigned place); /* 0 behind the end */
const char *cx_fwelem_chain(enum cx_egress mode);			/* NULL of CX_EGRESS_NONE */
enum cx_egress cx_fwelem_mode(const char *chain);

#endif
