/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/name.h"

enum { LABEL_MAX = 63 };

/* 0: has no place in a name. */
static char canonical(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return (char)c;
	return 0;
}

bool cx_name_from_wire(const uint8_t *wire, size_t len, char ret[CX_NAME_TEXT])
{
	size_t at = 0, out = 0;

	while (at < len && wire[at] != 0) {
		size_t n = wire[at++];

		if (n > LABEL_MAX || n >= len - at || out + n + 1 >= CX_NAME_TEXT)
			return false;
		if (out > 0)
			ret[out++] = '.';
		for (; n > 0; n--, at++) {
			ret[out] = canonical(wire[at]);
			if (ret[out++] == 0)
				return false;
		}
	}
	ret[out] = '\0';
	return at + 1 == len && out > 0;
}

bool cx_name_take(struct cx_str text, char ret[CX_NAME_TEXT])
{
	size_t label = 0;

	if (text.len == 0 || !cx_str_copy(text, ret, CX_NAME_TEXT))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		bool dot = ret[i] == '.';

		if (dot ? label == 0 : canonical((uint8_t)ret[i]) != ret[i] || label == LABEL_MAX)
			return false;
		label = dot ? 0 : label + 1;
	}
	return label > 0;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n + 1 && name[len - n - 1] == '.' && strcmp(name + len - n, suffix) == 0;
}

bool cx_name_matches(const char *rule, const char *name)
{
	if (rule[0] == '*')
		return rule[1] == '.' && ends_with(name, rule + 2);
	return strcmp(rule, name) == 0;
}

static const struct {
	const char *suffix, *why;
} local[] = {
	{ "localhost", "the sandbox itself (RFC 6761)" },
	{ "local", "multicast DNS of the host's network (RFC 6762)" },
	{ "localdomain", "what machines call themselves" },
	{ "lan", "what home routers call their network" },
	{ "home.arpa", "the same (RFC 8375)" },
	{ "internal", "private networks, as clouds name their machines and metadata servers" },
	{ "intranet", "private networks (RFC 6762, appendix G)" },
	{ "private", "the same" },
	{ "corp", "the same" },
	{ "home", "the same" },
	{ "invalid", "nothing (RFC 6761)" },
	{ "onion", "Tor (RFC 7686)" },
	{ "10.in-addr.arpa", "names of private addresses (RFC 6303)" },
	{ "168.192.in-addr.arpa", "the same" },
	{ "254.169.in-addr.arpa", "link-local addresses" },
	{ "127.in-addr.arpa", "loopback addresses" },
	{ "d.f.ip6.arpa", "unique local addresses" },
	{ "8.e.f.ip6.arpa", "link-local addresses" },
};

static bool is_middle_private(const char *name) /* 16 to 31.172, and 64 to 127.100 */
{
	static const struct {
		const char *net;
		unsigned low, high;
	} ranges[] = { { "172.in-addr.arpa", 16, 31 }, { "100.in-addr.arpa", 64, 127 } };

	for (size_t i = 0; i < CX_LEN(ranges); i++) {
		size_t end = strlen(name), at = end;
		unsigned n = 0, digits = 0;

		if (!ends_with(name, ranges[i].net))
			continue;
		end -= strlen(ranges[i].net) + 1;
		for (at = end; at > 0 && name[at - 1] != '.'; at--)
			digits++;
		for (; digits <= 3 && at < end && name[at] >= '0' && name[at] <= '9'; at++)
			n = 10 * n + (unsigned)(name[at] - '0');
		if (at == end && n >= ranges[i].low && n <= ranges[i].high)
			return true;
	}
	return false;
}

bool cx_name_is_local(const char *name)
{
	if (strchr(name, '.') == NULL)
		return true;
	for (size_t i = 0; i < CX_LEN(local); i++)
		if (ends_with(name, local[i].suffix))
			return true;
	return is_middle_private(name);
}

uint32_t cx_name_hash(const char *name, uint16_t type)
{
	uint32_t hash = 2166136261U ^ type; /* FNV-1a */

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619U;
	return hash;
}
