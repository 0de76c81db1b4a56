/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/address.h"

#include <string.h>

bool cx_address_take(struct cx_str bytes, struct cx_address *ret)
{
	if (bytes.len != 4 && bytes.len != 16)
		return false;
	*ret = (struct cx_address){ .len = (uint8_t)bytes.len };
	memcpy(ret->bytes, bytes.p, bytes.len);
	return true;
}

struct cx_str cx_address_bytes(const struct cx_address *address)
{
	return (struct cx_str){ .p = (const char *)address->bytes, .len = address->len };
}

bool cx_address_equal(const struct cx_address *a, const struct cx_address *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool cx_address_within(const struct cx_address *address, const struct cx_prefix *prefix)
{
	unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
	unsigned mask = 0xff00U >> rest;

	if (address->len != prefix->address.len || prefix->bits > 8 * address->len ||
	    memcmp(address->bytes, prefix->address.bytes, whole) != 0)
		return false;
	return rest == 0 ||
	       ((address->bytes[whole] ^ prefix->address.bytes[whole]) & mask & 0xff) == 0;
}

#define V4(bits_, ...)                                                           \
	{                                                                        \
		.address = { .len = 4, .bytes = { __VA_ARGS__ } }, .bits = bits_ \
	}
#define V6(bits_, ...)                                                            \
	{                                                                         \
		.address = { .len = 16, .bytes = { __VA_ARGS__ } }, .bits = bits_ \
	}

static const struct {
	struct cx_prefix prefix;
	const char *why;
} private[] = {
	{ V4(8, 0), "this network" },
	{ V4(8, 10), "private" },
	{ V4(10, 100, 64), "shared by a provider's customers; sandboxes" },
	{ V4(8, 127), "loopback" },
	{ V4(16, 169, 254), "link-local, metadata" },
	{ V4(12, 172, 16), "private" },
	{ V4(24, 192, 0, 0), "protocol assignments" },
	{ V4(24, 192, 0, 2), "documentation" },
	{ V4(24, 192, 88, 99), "relays of 6to4" },
	{ V4(16, 192, 168), "private" },
	{ V4(15, 198, 18), "measurements of a network's own" },
	{ V4(24, 198, 51, 100), "documentation" },
	{ V4(24, 203, 0, 113), "documentation" },
	{ V4(4, 224), "multicast" },
	{ V4(4, 240), "reserved, broadcast" },
	{ V6(96, 0), "unspecified, loopback, IPv4 in it" },
	{ V6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), "IPv4 in it" },
	{ V6(96, 0, 0x64, 0xff, 0x9b), "IPv4 in it" },
	{ V6(48, 0, 0x64, 0xff, 0x9b, 0, 1), "IPv4 in it, of a network's own" },
	{ V6(64, 1), "discarded" },
	{ V6(32, 0x20, 1), "IPv4 in it (Teredo)" },
	{ V6(32, 0x20, 1, 0x0d, 0xb8), "documentation" },
	{ V6(16, 0x20, 2), "IPv4 in it (6to4)" },
	{ V6(7, 0xfc), "private" },
	{ V6(10, 0xfe, 0x80), "link-local" },
	{ V6(10, 0xfe, 0xc0), "private, as it once was" },
	{ V6(8, 0xff), "multicast" },
};

bool cx_address_is_private(const struct cx_address *address)
{
	for (size_t i = 0; i < CX_LEN(private); i++)
		if (cx_address_within(address, &private[i].prefix))
			return true;
	return false;
}

bool cx_address_offset(const struct cx_address *address, const struct cx_address *base, uint32_t n,
		       uint32_t *ret)
{
	uint32_t a = 0, b = 0;
	size_t high = address->len - 4U;

	if (address->len != base->len || address->len < 4 ||
	    memcmp(address->bytes, base->bytes, high) != 0)
		return false;
	for (size_t i = 0; i < 4; i++) {
		a = a << 8 | address->bytes[high + i];
		b = b << 8 | base->bytes[high + i];
	}
	if (a < b || a - b >= n)
		return false;
	*ret = a - b;
	return true;
}

bool cx_address_of_socket(const struct sockaddr_in6 *from, struct cx_address *ret)
{
	struct sockaddr_in in;

	*ret = (struct cx_address){ 0 };
	if (from->sin6_family == AF_INET) {
		memcpy(&in, from, sizeof in);
		ret->len = 4;
		memcpy(ret->bytes, &in.sin_addr, 4);
	} else if (from->sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from->sin6_addr)) {
		ret->len = 4;
		memcpy(ret->bytes, &from->sin6_addr.s6_addr[12], 4);
	} else if (from->sin6_family == AF_INET6) {
		ret->len = 16;
		memcpy(ret->bytes, &from->sin6_addr, 16);
	}
	return ret->len != 0;
}

socklen_t cx_address_to_socket(const struct cx_address *address, uint16_t port,
			       struct sockaddr_in6 *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	*ret = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	if (address->len == 16) {
		memcpy(&ret->sin6_addr, address->bytes, 16);
		return sizeof *ret;
	}
	memcpy(&in.sin_addr, address->bytes, 4);
	memcpy(ret, &in, sizeof in);
	return sizeof in;
}
