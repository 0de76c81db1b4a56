/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as the gateway sends them. One that is taken is written again as it was; what is found of
 * them in the kernel's sets is what they say.
 */
#include "proto/control_msgs.h"
#include "tests/fuzz/input.h"
#include "tests/unit/net/partlook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES_MAX = 32, PROBES = 4 };

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
	if (!parts_are_apart(parts, nparts))
		abort();
	for (uint32_t i = 0; i < n * PROBES * 3 * 2; i++) {
		const struct cx_netrule *rule = &rules[i / (PROBES * 3 * 2)];
		const uint16_t ports[PROBES] = { rule->low, rule->high, (uint16_t)(rule->high + 1),
						 (uint16_t)(rule->low - 1) };
		struct packet p = { .family = rule->family,
				    .protocol = protocols[i % 3],
				    .port = ports[i / 3 % PROBES] };
		bool wanted = false;

		memcpy(p.address, rule->address, 16);
		if (i / (PROBES * 3) % 2 == 1 && rule->prefix > 0) /* beside it */
			p.address[(rule->prefix - 1) / 8] ^= 0x80 >> (rule->prefix - 1) % 8;
		for (uint32_t r = 0; r < n; r++)
			wanted |= rule_has(&rules[r], &p);
		if (wanted != parts_have(parts, nparts, &p))
			abort();
	}
	return 0;
}
