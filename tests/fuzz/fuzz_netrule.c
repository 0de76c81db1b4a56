/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as the gateway sends them. One that is taken is written again as it was; the parts that
 * the kernel gets of them all are apart from each other and mean the same.
 */
#include "net/parts.h"
#include "proto/control_msgs.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES_MAX = 32, PROBES = 4 };

struct packet {
	uint8_t family, protocol, address[16];
	uint16_t port;
};

static bool is_between(const uint8_t *low, const uint8_t *at, const uint8_t *high, size_t len)
{
	return memcmp(low, at, len) <= 0 && memcmp(at, high, len) <= 0;
}

static unsigned count_parts(const struct cx_part *parts, uint32_t n, const struct packet *p)
{
	unsigned found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += parts[i].family == p->family &&
			 (parts[i].protocol == 0 || parts[i].protocol == p->protocol) &&
			 is_between(parts[i].first, p->address, parts[i].last,
				    p->family == 4 ? 4 : 16) &&
			 parts[i].low <= p->port && p->port <= parts[i].high;
	return found;
}

static bool rule_has(const struct cx_netrule *rule, const struct packet *p)
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

/* Every part has a packet of its own only, and so has every place near a rule. */
static void probe(const struct cx_netrule *rules, uint32_t nrules, const struct cx_part *parts,
		  uint32_t nparts, const struct packet *p)
{
	unsigned exact = 0, every = 0;
	bool wanted = false;

	for (uint32_t i = 0; i < nrules; i++)
		wanted |= rule_has(&rules[i], p);
	for (uint32_t i = 0; i < nparts; i++) {
		unsigned hit = count_parts(&parts[i], 1, p);

		*(parts[i].protocol == 0 ? &every : &exact) += hit;
	}
	/* Sets of a protocol and the set of all of them are apart from each other. */
	if (wanted != (exact + every > 0) || exact > 1 || every > 1)
		abort();
}

static uint32_t take_rules(struct input *in, struct cx_netrule *rules)
{
	uint32_t n = 0;

	while (in->left > 0 && n < RULES_MAX) {
		uint8_t bytes[CX_NETRULE_SIZE] = { 0 }, again[CX_NETRULE_SIZE];
		const uint8_t *p;
		size_t len = take_bytes(in, sizeof bytes, &p);
		struct cx_err err;

		memcpy(bytes, p, len);
		if (cx_netrule_get(bytes, &rules[n], &err) < 0) {
			if (err.kind != CX_INVALID)
				abort();
			continue;
		}
		cx_netrule_put(&rules[n++], again);
		if (memcmp(bytes, again, sizeof bytes) != 0)
			abort();
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t protocols[] = { 6, 17, 1 };
	struct input in = { .p = data, .left = size };
	struct cx_netrule rules[RULES_MAX];
	cx_autofree struct cx_part *parts = NULL;
	uint32_t nparts = 0, n = take_rules(&in, rules);
	struct cx_err err;

	if (cx_parts_make(rules, n, &parts, &nparts, &err) < 0)
		return 0;
	for (uint32_t i = 0; i < n * PROBES * 3; i++) {
		const struct cx_netrule *rule = &rules[i / (PROBES * 3)];
		const uint16_t ports[PROBES] = { rule->low, rule->high, (uint16_t)(rule->high + 1),
						 (uint16_t)(rule->low - 1) };
		struct packet p = { .family = rule->family,
				    .protocol = protocols[i % 3],
				    .port = ports[i / 3 % PROBES] };

		memcpy(p.address, rule->address, 16);
		probe(rules, n, parts, nparts, &p);
	}
	return 0;
}
