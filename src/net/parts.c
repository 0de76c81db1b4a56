/* SPDX-License-Identifier: Apache-2.0 */
#include "net/parts.h"

#include <netinet/in.h>
#include <string.h>

#include "proto/control_msgs.h"

enum {
	WHOLE = 0,	      /* the class of every protocol and port */
	NOTHING = UINT16_MAX, /* and of none */
	NETS_PER_RULE = 8,    /* a prefix lacks up to three bits of a digit */
	DEPTH = 33,	      /* networks in one another */
	FIRST4 = 0,
	FIRST6 = 9,
	FIRST_PORTS = 42,
};

#define NET4(digits)                          \
	{                                     \
		"net4_" #digits, 4, digits, 0 \
	}
#define NET6(digits)                          \
	{                                     \
		"net6_" #digits, 6, digits, 0 \
	}
#define PORTS(digits)                                  \
	{ "tcp_" #digits, 0, digits, IPPROTO_TCP },    \
	{                                              \
		"udp_" #digits, 0, digits, IPPROTO_UDP \
	}

const struct cx_part_set cx_part_sets[CX_PART_SETS] = {
	NET4(0),  NET4(1),  NET4(2),  NET4(3),	NET4(4),  NET4(5),  NET4(6),  NET4(7),
	NET4(8),  NET6(0),  NET6(1),  NET6(2),	NET6(3),  NET6(4),  NET6(5),  NET6(6),
	NET6(7),  NET6(8),  NET6(9),  NET6(10), NET6(11), NET6(12), NET6(13), NET6(14),
	NET6(15), NET6(16), NET6(17), NET6(18), NET6(19), NET6(20), NET6(21), NET6(22),
	NET6(23), NET6(24), NET6(25), NET6(26), NET6(27), NET6(28), NET6(29), NET6(30),
	NET6(31), NET6(32), PORTS(0), PORTS(1), PORTS(2), PORTS(3), PORTS(4),
};

unsigned cx_part_size(const struct cx_part_set *set)
{
	return set->family == 0 ? 2 : set->family == 4 ? 4 : 16;
}

/* Ports of a protocol; words only, as they are compared byte by byte. */
struct range {
	uint32_t protocol, low, end; /* end: behind the last */
};

/* What one rule says of one network of whole digits. */
struct net {
	uint8_t family, digits, address[16];
	struct range ports; /* protocol 0: everything */
};

struct class
{
	uint32_t first, n; /* of maker's ranges: sorted, and apart */
	uint32_t hash;	   /* of them */
};

struct maker {
	struct range *ranges, *scratch;
	struct class *classes; /* the first is class 1 */
	struct cx_part *parts;
	uint32_t nranges, nclasses, nparts;
};

static void free_maker(struct maker *m)
{
	free(m->ranges);
	free(m->scratch);
	free(m->classes);
	free(m->parts);
}

static int refuse_more(struct cx_err *err)
{
	return cx_refuse(err, CX_INVALID,
			 "the addresses and ports of this policy come to more than %d parts: name "
			 "fewer, or networks and ranges whose borders are rounder",
			 CX_PARTS_MAX);
}

/* ---- networks of whole digits ---------------------------------------------------------------- */

static struct range ports_of(const struct cx_netrule *rule)
{
	if (rule->low == 0)
		return (struct range){ rule->protocol, 0, 65536 };
	return (struct range){ rule->protocol, rule->low, rule->high + 1u };
}

static uint32_t cut(const struct cx_netrule *rule, struct net *out)
{
	unsigned digits = (rule->prefix + 3u) / 4, n = 1u << (digits * 4 - rule->prefix);

	for (unsigned i = 0; i < n; i++) {
		out[i] = (struct net){ .family = rule->family,
				       .digits = (uint8_t)digits,
				       .ports = ports_of(rule) };
		memcpy(out[i].address, rule->address, sizeof out[i].address);
		if (digits > 0)
			out[i].address[(digits - 1) / 2] |= (uint8_t)(digits % 2 == 0 ? i : i << 4);
	}
	return n;
}

static int compare_places(const struct net *a, const struct net *b)
{
	int address = memcmp(a->address, b->address, sizeof a->address);

	if (a->family != b->family)
		return a->family - b->family;
	return address != 0 ? address : a->digits - b->digits;
}

/* Networks before what is in them; of one all protocols first, then as classes have ranges. */
static int compare_nets(const void *left, const void *right)
{
	const struct net *a = left, *b = right;
	int place = compare_places(a, b);

	if (place != 0)
		return place;
	if (a->ports.protocol != b->ports.protocol)
		return a->ports.protocol < b->ports.protocol ? -1 : 1;
	return a->ports.low < b->ports.low ? -1 : a->ports.low > b->ports.low;
}

static bool is_in(const struct net *inner, const struct net *outer)
{
	unsigned bytes = outer->digits / 2u;

	if (inner->family != outer->family || inner->digits < outer->digits ||
	    memcmp(inner->address, outer->address, bytes) != 0)
		return false;
	return outer->digits % 2 == 0 || (inner->address[bytes] & 0xf0) == outer->address[bytes];
}

/* ---- classes --------------------------------------------------------------------------------- */

static struct class class_at(const struct maker *m, uint16_t class)
{
	return class == NOTHING ? (struct class){ 0 } : m->classes[class - 1];
}

static bool is_before(const struct range *a, const struct range *b)
{
	return a->protocol != b->protocol ? a->protocol < b->protocol : a->low < b->low;
}

static uint32_t add_range(struct range *out, uint32_t n, const struct range *next)
{
	struct range *last = n > 0 ? &out[n - 1] : NULL;

	if (last == NULL || last->protocol != next->protocol || next->low > last->end) {
		out[n] = *next;
		return n + 1;
	}
	if (next->end > last->end)
		last->end = next->end;
	return n;
}

/* What an outer network says and what rules say of one in it, in the scratch; how many ranges. */
static uint32_t merge(const struct maker *m, struct class outer, const struct net *own,
		      uint32_t nrules)
{
	const struct range *a = m->ranges + outer.first, *end = a + outer.n;
	uint32_t n = 0, i = 0;

	while (a < end || i < nrules) {
		if (i == nrules || (a < end && is_before(a, &own[i].ports)))
			n = add_range(m->scratch, n, a++);
		else
			n = add_range(m->scratch, n, &own[i++].ports);
	}
	return n;
}

static uint32_t hash(const struct range *ranges, uint32_t n)
{
	uint32_t h = 0;

	for (uint32_t i = 0; i < n; i++) /* FNV-1a, of words */
		h = (h ^ ranges[i].protocol ^ ranges[i].low << 8 ^ ranges[i].end << 16) * 16777619u;
	return h;
}

static bool is_same(const struct maker *m, struct class class, struct class scratch)
{
	return class.n == scratch.n && class.hash == scratch.hash &&
	       memcmp(m->ranges + class.first, m->scratch, class.n * sizeof m->scratch[0]) == 0;
}

static int find_class(struct maker *m, uint16_t outer, const struct net *own, uint32_t nrules,
		      uint16_t *ret, struct cx_err *err)
{
	struct class class = { .first = m->nranges };

	if (own[0].ports.protocol == 0) {
		*ret = WHOLE;
		return 0;
	}
	class.n = merge(m, class_at(m, outer), own, nrules);
	class.hash = hash(m->scratch, class.n);
	*ret = outer;
	if (is_same(m, class_at(m, outer), class))
		return 0;
	for (*ret = 1; *ret <= m->nclasses; ++*ret)
		if (is_same(m, class_at(m, *ret), class))
			return 0;
	if (m->nclasses == CX_PART_CLASSES_MAX || m->nranges + class.n > CX_PARTS_MAX)
		return refuse_more(err);
	m->classes[m->nclasses++] = class;
	memcpy(m->ranges + class.first, m->scratch, class.n * sizeof m->scratch[0]);
	m->nranges += class.n;
	return 0;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int add_part(struct maker *m, unsigned set, uint16_t class, const void *value, size_t len,
		    struct cx_err *err)
{
	struct cx_part *part = &m->parts[m->nparts];

	if (m->nparts == CX_PARTS_MAX)
		return refuse_more(err);
	*part = (struct cx_part){ .set = (uint8_t)set, .class = class };
	memcpy(part->value, value, len);
	m->nparts++;
	return 0;
}

static int add_ports(struct maker *m, uint16_t class, const struct range *range, struct cx_err *err)
{
	uint32_t size;

	for (uint32_t low = range->low; low < range->end; low += size) {
		const uint8_t value[] = { (uint8_t)(low >> 8), (uint8_t)low };
		unsigned digits = 4;

		for (size = 1;
		     digits > 0 && low % (size * 16) == 0 && low + size * 16 <= range->end;
		     size *= 16)
			digits--;
		if (add_part(m, FIRST_PORTS + 2 * digits + (range->protocol == IPPROTO_UDP), class,
			     value, sizeof value, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int add_net(struct maker *m, const struct net *net, uint16_t class, struct cx_err *err)
{
	unsigned first = net->family == 4 ? FIRST4 : FIRST6;

	return add_part(m, first + net->digits, class, net->address, net->family == 4 ? 4 : 16,
			err);
}

/* What says no more than the network around it is left out. */
static int make_nets(struct maker *m, const struct net *nets, uint32_t n, struct cx_err *err)
{
	struct {
		const struct net *net;
		uint16_t class;
	} around[DEPTH];
	unsigned depth = 0;
	uint32_t next;

	for (uint32_t at = 0; at < n; at = next) {
		uint16_t outer, class = WHOLE;

		for (next = at + 1; next < n && compare_places(&nets[at], &nets[next]) == 0;)
			next++;
		while (depth > 0 && !is_in(&nets[at], around[depth - 1].net))
			depth--;
		outer = depth > 0 ? around[depth - 1].class : NOTHING;
		if (outer != WHOLE && find_class(m, outer, &nets[at], next - at, &class, err) < 0)
			return -err->errnum;
		if (class == outer)
			continue;
		if (add_net(m, &nets[at], class, err) < 0)
			return -err->errnum;
		around[depth].net = &nets[at];
		around[depth++].class = class;
	}
	return 0;
}

static int make_ports(struct maker *m, struct cx_err *err)
{
	for (uint32_t i = 0; i < m->nclasses; i++)
		for (uint32_t r = 0; r < m->classes[i].n; r++)
			if (add_ports(m, (uint16_t)(i + 1), &m->ranges[m->classes[i].first + r],
				      err) < 0)
				return -err->errnum;
	return 0;
}

static int compare_parts(const void *left, const void *right)
{
	return ((const struct cx_part *)left)->set - ((const struct cx_part *)right)->set;
}

static int make(struct maker *m, const struct cx_netrule *rules, uint32_t nrules,
		struct cx_err *err)
{
	cx_autofree struct net *nets = calloc((size_t)nrules * NETS_PER_RULE, sizeof *nets);
	uint32_t n = 0;

	m->ranges = calloc(CX_PARTS_MAX, sizeof *m->ranges);
	m->scratch = calloc((size_t)nrules * 2, sizeof *m->scratch);
	m->classes = calloc(CX_PART_CLASSES_MAX, sizeof *m->classes);
	m->parts = calloc(CX_PARTS_MAX, sizeof *m->parts);
	if (nets == NULL || m->ranges == NULL || m->scratch == NULL || m->classes == NULL ||
	    m->parts == NULL)
		return cx_fail(err, ENOMEM, "rules of a policy");
	for (uint32_t i = 0; i < nrules; i++)
		n += cut(&rules[i], nets + n);
	qsort(nets, n, sizeof *nets, compare_nets);
	if (make_nets(m, nets, n, err) < 0 || make_ports(m, err) < 0)
		return -err->errnum;
	qsort(m->parts, m->nparts, sizeof *m->parts, compare_parts);
	return 0;
}

int cx_parts_make(const struct cx_netrule *rules, uint32_t nrules, struct cx_part **ret,
		  uint32_t *ret_n, struct cx_err *err)
{
	CX_AUTO(free_maker) struct maker m = { 0 };

	if (nrules > CX_NETRULES_MAX)
		return cx_refuse(err, CX_INVALID, "%u rules, at most %d", nrules, CX_NETRULES_MAX);
	*ret = NULL;
	*ret_n = 0;
	if (nrules == 0)
		return 0;
	if (make(&m, rules, nrules, err) < 0)
		return -err->errnum;
	*ret = realloc(m.parts, m.nparts * sizeof *m.parts);
	if (*ret == NULL)
		return cx_fail(err, ENOMEM, "rules of a policy");
	m.parts = NULL;
	*ret_n = m.nparts;
	return 0;
}
