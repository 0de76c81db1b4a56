/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_PARTLOOK_H
#define CX_TESTS_PARTLOOK_H

#include <netinet/in.h>
#include <string.h>

#include "net/parts.h"

/* What rules say of a packet, and what router.nft finds in the sets that hold their parts. */
struct packet {
	uint8_t family, protocol, address[16];
	uint16_t port;
};

static inline bool rule_has(const struct cx_netrule *rule, const struct packet *p)
{
	if (rule->family != p->family || (rule->protocol != 0 && rule->protocol != p->protocol))
		return false;
	if (rule->low != 0 && (p->port < rule->low || p->port > rule->high))
		return false;
	for (unsigned bit = 0; bit < rule->prefix; bit++)
		if (((rule->address[bit / 8] ^ p->address[bit / 8]) & (0x80 >> bit % 8)) != 0)
			return false;
	return true;
}

/* The only part of that set with what counts of a value; ports also of a class. */
static inline const struct cx_part *look(const struct cx_part *parts, uint32_t n, unsigned set,
					 const uint8_t *value, unsigned class)
{
	uint8_t masked[16] = { 0 };
	unsigned size = cx_part_size(&cx_part_sets[set]);

	for (unsigned i = 0; i < cx_part_sets[set].digits; i++)
		masked[i / 2] |= value[i / 2] & (i % 2 == 0 ? 0xf0 : 0x0f);
	for (uint32_t i = 0; i < n; i++)
		if (parts[i].set == set && memcmp(parts[i].value, masked, size) == 0 &&
		    (cx_part_sets[set].family != 0 || parts[i].class == class))
			return &parts[i];
	return NULL;
}

static inline bool parts_have(const struct cx_part *parts, uint32_t n, const struct packet *p)
{
	const uint8_t port[] = { (uint8_t)(p->port >> 8), (uint8_t)p->port };
	const struct cx_part *net = NULL;

	for (unsigned set = CX_PART_SETS; set-- > 0 && net == NULL;)
		if (cx_part_sets[set].family == p->family)
			net = look(parts, n, set, p->address, 0);
	if (net == NULL || net->class == 0)
		return net != NULL;
	for (unsigned set = 0; set < CX_PART_SETS; set++)
		if (cx_part_sets[set].family == 0 && cx_part_sets[set].protocol == p->protocol &&
		    look(parts, n, set, port, net->class) != NULL)
			return true;
	return false;
}

/* A set has a key once. */
static inline bool parts_are_apart(const struct cx_part *parts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (look(parts, n, parts[i].set, parts[i].value, parts[i].class) != &parts[i])
			return false;
	return true;
}

#endif
