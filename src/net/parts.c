/* SPDX-License-Identifier: Apache-2.0 */
#include "net/parts.h"

#include <string.h>

#include "proto/control_msgs.h"

struct range {
	uint32_t low, end; /* end: behind the last */
};

struct ranges {
	struct range *r;
	uint32_t n;
};

struct parts {
	struct cx_part *p;
	uint32_t n;
};

static struct range ports_of(const struct cx_netrule *rule)
{
	if (rule->low == 0)
		return (struct range){ 0, 65536 };
	return (struct range){ rule->low, rule->high + 1u };
}

/* By what separates rules, then by first port, as add() wants it. */
static int compare(const void *left, const void *right)
{
	const struct cx_netrule *a = left, *b = right;
	int kind = (a->family << 8 | a->protocol) - (b->family << 8 | b->protocol);

	return kind != 0 ? kind : a->low - b->low;
}

static uint8_t mask_of(unsigned bits)
{
	return (uint8_t)(bits >= 8 ? 0xff : 0xff00 >> bits);
}

static bool has_all_addresses(const struct cx_netrule *outer, const struct cx_netrule *inner)
{
	unsigned bytes = outer->prefix / 8u, bits = outer->prefix % 8u;

	if (outer->family != inner->family || outer->prefix > inner->prefix ||
	    memcmp(outer->address, inner->address, bytes) != 0)
		return false;
	return bits == 0 || (inner->address[bytes] & mask_of(bits)) == outer->address[bytes];
}

/* Ranges come by their first port, and are kept so and apart. */
static void add(struct ranges *out, struct range range)
{
	struct range *last = out->n > 0 ? &out->r[out->n - 1] : NULL;

	if (last == NULL || range.low > last->end)
		out->r[out->n++] = range;
	else if (range.end > last->end)
		last->end = range.end;
}

static int emit(struct parts *out, const struct cx_netrule *rule, struct range range,
		struct cx_err *err)
{
	struct cx_part *part = &out->p[out->n];
	unsigned length = rule->family == 4 ? 4 : 16;

	if (out->n == CX_PARTS_MAX)
		return cx_refuse(err, CX_LIMIT, "the rules overlap in too many parts: at most %d",
				 CX_PARTS_MAX);
	*part = (struct cx_part){ .family = rule->family,
				  .protocol = rule->protocol,
				  .low = (uint16_t)range.low,
				  .high = (uint16_t)(range.end - 1) };
	for (unsigned i = 0; i < length; i++) {
		unsigned bits = rule->prefix > i * 8 ? rule->prefix - i * 8 : 0;

		part->first[i] = rule->address[i];
		part->last[i] = rule->address[i] | (uint8_t)~mask_of(bits);
	}
	out->n++;
	return 0;
}

/* What of `own` is not in `outer`. */
static int emit_rest(struct parts *out, const struct cx_netrule *rule, const struct ranges *own,
		     const struct ranges *outer, struct cx_err *err)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < own->n; i++) {
		struct range left = own->r[i];

		while (at < outer->n && outer->r[at].end <= left.low)
			at++;
		for (uint32_t o = at; o < outer->n && outer->r[o].low < left.end; o++) {
			struct range before = { left.low, outer->r[o].low };

			if (before.low < before.end && emit(out, rule, before, err) < 0)
				return -err->errnum;
			left.low = outer->r[o].end;
		}
		if (left.low < left.end && emit(out, rule, left, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static bool is_same_place(const struct cx_netrule *a, const struct cx_netrule *b)
{
	return a->prefix == b->prefix && has_all_addresses(a, b);
}

/* All that the rules say of the addresses of rules[i], the first of those with its addresses. */
static int make_place(const struct cx_netrule *rules, uint32_t n, uint32_t i,
		      struct range scratch[2][CX_NETRULES_MAX], struct parts *out,
		      struct cx_err *err)
{
	const struct cx_netrule *rule = &rules[i];
	struct ranges own = { .r = scratch[0] }, outer = { .r = scratch[1] };

	for (uint32_t j = 0; j < n; j++) {
		const struct cx_netrule *other = &rules[j];
		bool same = is_same_place(other, rule);

		if (!has_all_addresses(other, rule))
			continue;
		if (other->protocol == rule->protocol && same && j < i)
			return 0;
		if (other->protocol == rule->protocol)
			add(same ? &own : &outer, ports_of(other));
		else if (other->protocol == 0)
			return 0; /* every protocol is allowed there */
	}
	return emit_rest(out, rule, &own, &outer, err);
}

int cx_parts_make(const struct cx_netrule *rules, uint32_t nrules, struct cx_part **ret,
		  uint32_t *ret_n, struct cx_err *err)
{
	CX_UNINITIALIZED struct range scratch[2][CX_NETRULES_MAX];
	cx_autofree struct cx_netrule *sorted = NULL;
	cx_autofree struct cx_part *list = NULL;
	struct parts parts = { 0 };

	if (nrules > CX_NETRULES_MAX)
		return cx_refuse(err, CX_INVALID, "%u rules, at most %d", nrules, CX_NETRULES_MAX);
	if (nrules == 0) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	sorted = calloc(nrules, sizeof *sorted);
	list = calloc(CX_PARTS_MAX, sizeof *list);
	if (sorted == NULL || list == NULL)
		return cx_fail(err, ENOMEM, "rules of a policy");
	memcpy(sorted, rules, nrules * sizeof *sorted);
	qsort(sorted, nrules, sizeof *sorted, compare);
	parts.p = list;
	for (uint32_t i = 0; i < nrules; i++)
		if (make_place(sorted, nrules, i, scratch, &parts, err) < 0)
			return -err->errnum;
	*ret_n = parts.n;
	*ret = realloc(list, (parts.n > 0 ? parts.n : 1) * sizeof *list);
	if (*ret == NULL)
		return cx_fail(err, ENOMEM, "rules of a policy");
	list = NULL;
	return 0;
}
