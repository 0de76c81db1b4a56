/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "net/firewall_inner.h"

static void put(struct cx_nft_batch *b, enum cx_nft_op op, const char *set, struct cx_nft_elem elem)
{
	cx_nft_put(b, op, set, &elem);
}

static struct cx_nft_elem to_mark(struct cx_nft_elem elem, uint32_t mark)
{
	elem.value = mark;
	return elem;
}

static struct cx_nft_elem for_seconds(struct cx_nft_elem elem, unsigned seconds)
{
	elem.timeout_ms = seconds * 1000ull;
	return elem;
}

/* What a policy has in the sets, in or out; all but its number's place in "numbers". */
static void put_policy(struct cx_nft_batch *b, enum cx_nft_op op, uint32_t slot,
		       const struct cx_fwslot *s)
{
	const struct cx_fwelem_mode *mode = cx_fwelem_mode(s);

	put(b, op, "current", cx_fwelem_of_pair(slot, s->number));
	if (mode != NULL)
		put(b, op, mode->set, cx_fwelem_of_number(s->number));
	if (mode == NULL || !mode->rules)
		return;
	put(b, op, "owners", to_mark(cx_fwelem_of_number(cx_fwelem_owner(slot, s)), s->number));
	for (uint32_t i = 0; i < s->nparts; i++)
		put(b, op, cx_part_sets[s->parts[i].set].name,
		    cx_fwelem_of_part(slot, s, &s->parts[i]));
}

static void put_link(struct cx_nft_batch *b, enum cx_nft_op op, uint32_t slot, uint32_t link)
{
	if (link == 0)
		return;
	put(b, op, "links", to_mark(cx_fwelem_of_link(slot), link));
	put(b, op, "members", cx_fwelem_of_pair(slot, link));
}

/* Takes the old number out of force; `next` remembers it, and forgets the oldest if there are too
 * many. */
static void retire(struct cx_nft_batch *b, uint32_t slot, const struct cx_fwslot *old,
		   struct cx_fwslot *next)
{
	next->nformer = old->nformer;
	memcpy(next->former, old->former, sizeof next->former);
	if (old->number == 0)
		return;
	put(b, CX_NFT_DELETE, "numbers", cx_fwelem_of_link(slot));
	put_policy(b, CX_NFT_DELETE, slot, old);
	if (next->nformer == CX_FORMER_MAX) {
		put(b, CX_NFT_DELETE, "former", cx_fwelem_of_pair(slot, next->former[0]));
		next->nformer--;
		memmove(next->former, next->former + 1, next->nformer * sizeof next->former[0]);
	}
	put(b, CX_NFT_ADD, "former", cx_fwelem_of_pair(slot, old->number));
	next->former[next->nformer++] = old->number;
}

/* In the sets as well: a number is not given again after a restart. */
static void put_last(struct cx_nft_batch *b, uint32_t old, uint32_t number)
{
	struct cx_nft_elem key = { 0 };

	cx_nft_key_u32(&key.key, 0);
	if (old != 0)
		put(b, CX_NFT_DELETE, "numbers", key);
	put(b, CX_NFT_ADD, "numbers", to_mark(key, number));
}

static int replace(struct cx_firewall *fw, uint32_t slot, const struct cx_fwslot *old,
		   struct cx_fwslot *next, struct cx_err *err)
{
	CX_AUTO(cx_nft_drop) struct cx_nft_batch b;

	cx_nft_begin(&fw->nft, &b);
	retire(&b, slot, old, next);
	put_last(&b, fw->last, next->number);
	put(&b, CX_NFT_ADD, "numbers", to_mark(cx_fwelem_of_link(slot), next->number));
	put_policy(&b, CX_NFT_ADD, slot, next);
	if (next->names && old->number != 0)
		put(&b, CX_NFT_ADD, "settling",
		    for_seconds(cx_fwelem_of_number(next->number), CX_FIREWALL_GRACE_S));
	if (old->link != next->link) {
		put_link(&b, CX_NFT_DELETE, slot, old->link);
		put_link(&b, CX_NFT_ADD, slot, next->link);
	}
	return cx_nft_commit(&b, err);
}

int cx_firewall_set(struct cx_firewall *fw, uint32_t slot, const struct cx_firewall_policy *policy,
		    uint32_t *ret_number, struct cx_err *err)
{
	struct cx_fwslot *s, next = { .mode = policy->mode, .link = policy->link };

	if (cx_fwslot_find(fw, slot, &s, err) < 0)
		return -err->errnum;
	if (fw->last == CX_FWELEM_CLASSES - 1)
		return cx_refuse(err, CX_LIMIT, "no number is left for a policy");
	if (cx_parts_make(policy->rules, policy->nrules, &next.parts, &next.nparts, err) < 0)
		return -err->errnum;
	next.names = policy->names && policy->mode == CX_EGRESS_ALLOW;
	next.number = fw->last + 1;
	next.turn = (s->turn + 1) & 3;
	next.permitted = s->permitted;
	next.npermitted = s->npermitted;
	if (replace(fw, slot, s, &next, err) < 0) {
		free(next.parts);
		return cx_wrap(err, "policy of slot %u", slot);
	}
	free(s->parts);
	*s = next;
	fw->last = next.number;
	*ret_number = next.number;
	return 0;
}

/* ---- the end of a sandbox -------------------------------------------------------------------- */

static int forget_sets(struct cx_firewall *fw, uint32_t slot, const struct cx_fwslot *s,
		       struct cx_err *err)
{
	CX_AUTO(cx_nft_drop) struct cx_nft_batch b;

	cx_nft_begin(&fw->nft, &b);
	put(&b, CX_NFT_DELETE, "numbers", cx_fwelem_of_link(slot));
	put_policy(&b, CX_NFT_DELETE, slot, s);
	for (uint32_t i = 0; i < s->nformer; i++)
		put(&b, CX_NFT_DELETE, "former", cx_fwelem_of_pair(slot, s->former[i]));
	put_link(&b, CX_NFT_DELETE, slot, s->link);
	/* What the kernel has counted, if it has: a batch that fails waits for all processors. */
	put(&b, CX_NFT_ADD, "flows", cx_fwelem_of_link(slot));
	put(&b, CX_NFT_DELETE, "flows", cx_fwelem_of_link(slot));
	return cx_nft_commit(&b, err);
}

static int forget_flows(struct cx_firewall *fw, const struct cx_fwslot *s, struct cx_err *err)
{
	for (uint32_t i = 0; i < s->nformer; i++)
		if (cx_nft_forget_flows(&fw->nft, s->former[i], err) < 0)
			return -err->errnum;
	return cx_nft_forget_flows(&fw->nft, s->number, err);
}

int cx_firewall_forget(struct cx_firewall *fw, uint32_t slot, struct cx_err *err)
{
	struct cx_fwslot *s;

	if (cx_fwslot_find(fw, slot, &s, err) < 0)
		return -err->errnum;
	if (s->number == 0)
		return 0;
	if (forget_flows(fw, s, err) < 0 || forget_sets(fw, slot, s, err) < 0)
		return cx_wrap(err, "close slot %u", slot);
	free(s->parts);
	*s = (struct cx_fwslot){ .permitted = s->permitted, .npermitted = s->npermitted };
	return 0;
}
