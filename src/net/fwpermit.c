/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "base/loop.h"
#include "net/firewall_inner.h"
#include "proto/resolver_msgs.h"

enum { PERMIT_ROOM = 64 }; /* by so many the list of a slot grows */

static uint64_t hash(const struct cx_nft_key *key)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a */

	for (unsigned i = 0; i < key->len; i++)
		h = (h ^ key->bytes[i]) * 1099511628211ull;
	return h;
}

/* A place for an element: its own of earlier, one that has ended, or a new one. */
static struct cx_permitted *place(struct cx_fwslot *s, uint64_t key, uint64_t now,
				  struct cx_err *err)
{
	struct cx_permitted *ended = NULL, *grown;

	for (uint32_t i = 0; i < s->npermitted; i++) {
		if (s->permitted[i].key == key)
			return &s->permitted[i];
		if (s->permitted[i].until_ms <= now)
			ended = &s->permitted[i];
	}
	if (ended != NULL)
		return ended;
	if (s->npermitted == CX_PERMITS_MAX) {
		(void)cx_refuse(err, CX_LIMIT, "%d addresses of names at a time", CX_PERMITS_MAX);
		return NULL;
	}
	if (s->npermitted % PERMIT_ROOM == 0) {
		grown = realloc(s->permitted, (s->npermitted + PERMIT_ROOM) * sizeof *grown);
		if (grown == NULL) {
			(void)cx_fail(err, ENOMEM, "addresses of names");
			return NULL;
		}
		s->permitted = grown;
	}
	return &s->permitted[s->npermitted++];
}

static int check(const struct cx_fwslot *s, const struct cx_permit *p, struct cx_err *err)
{
	uint32_t total = 0;

	if (p->family != 4 && p->family != 6)
		return cx_refuse(err, CX_INVALID, "an address of family %u", p->family);
	if (p->ttl_s == 0 || p->ttl_s > 86400 || p->nports > CX_PERMIT_PORTS_MAX)
		return cx_refuse(err, CX_INVALID, "%u ranges of ports for %u s", p->nports,
				 p->ttl_s);
	for (uint32_t i = 0; i < p->nports; i++) {
		if (p->ports[i].low == 0 || p->ports[i].low > p->ports[i].high)
			return cx_refuse(err, CX_INVALID, "ports %u-%u", p->ports[i].low,
					 p->ports[i].high);
		total += p->ports[i].high - p->ports[i].low + 1u;
	}
	if (total > CX_PERMIT_PORTS_MAX)
		return cx_refuse(err, CX_INVALID, "%u ports, at most %d", total,
				 CX_PERMIT_PORTS_MAX);
	if (s->number == 0 || s->number != p->number)
		return cx_refuse(err, CX_CONFLICT, "policy %u of slot %u is not in force",
				 p->number, p->slot);
	if (!s->names)
		return cx_refuse(err, CX_DENIED, "slot %u is not for names", p->slot);
	return 0;
}

/*
 * Adding what is there leaves its time as it was, and deleting what is not there fails. All three
 * together put it there with its new time, whatever was.
 */
static void put_renewed(struct cx_nft_batch *b, const char *set, const struct cx_nft_elem *elems,
			uint32_t n)
{
	static const enum cx_nft_op ops[] = { CX_NFT_ADD, CX_NFT_DELETE, CX_NFT_ADD };

	for (size_t i = 0; i < CX_LEN(ops); i++)
		for (uint32_t e = 0; e < n; e++)
			cx_nft_put(b, ops[i], set, &elems[e]);
}

static struct cx_nft_elem element(const struct cx_permit *p)
{
	struct cx_nft_elem elem = cx_fwelem_of_number(p->number);

	cx_nft_key_add(&elem.key, p->address, p->family == 4 ? 4 : 16);
	elem.timeout_ms = p->ttl_s * 1000ull;
	return elem;
}

static uint32_t list(const struct cx_permit *p, struct cx_nft_elem *out)
{
	uint32_t n = 0;

	if (p->nports == 0)
		out[n++] = element(p);
	for (uint32_t i = 0; i < p->nports; i++) {
		for (unsigned port = p->ports[i].low; port <= p->ports[i].high; port++) {
			uint16_t net_port = htons((uint16_t)port);

			out[n] = element(p);
			cx_nft_key_add(&out[n++].key, &net_port, sizeof net_port);
		}
	}
	return n;
}

static const char *set_of(const struct cx_permit *p)
{
	if (p->nports == 0)
		return p->family == 4 ? "hosts4" : "hosts6";
	return p->family == 4 ? "ports4" : "ports6";
}

int cx_firewall_permit(struct cx_firewall *fw, const struct cx_permit *p, struct cx_err *err)
{
	CX_AUTO(cx_nft_drop) struct cx_nft_batch b = { 0 };
	struct cx_nft_elem elems[CX_PERMIT_PORTS_MAX];
	uint64_t now = cx_now_ms();
	struct cx_fwslot *s;
	uint32_t n;

	if (cx_fwslot_find(fw, p->slot, &s, err) < 0 || check(s, p, err) < 0)
		return -err->errnum;
	n = list(p, elems);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t key = hash(&elems[i].key);
		struct cx_permitted *at = place(s, key, now, err);

		if (at == NULL)
			return -err->errnum;
		*at = (struct cx_permitted){ .key = key, .until_ms = now + elems[i].timeout_ms };
	}
	cx_nft_begin(&fw->nft, &b);
	put_renewed(&b, set_of(p), elems, n);
	return cx_nft_commit(&b, err) < 0 ? cx_wrap(err, "an address of slot %u", p->slot) : 0;
}
