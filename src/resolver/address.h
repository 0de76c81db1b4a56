/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_ADDRESS_H
#define CX_RESOLVER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "proto/wire.h"

struct cx_address {
	uint8_t len; /* 4 or 16; 0: none */
	uint8_t bytes[16];
};

struct cx_prefix {
	struct cx_address address;
	uint8_t bits;
};

/* False unless it has 4 or 16 bytes. */
CX_MUST bool cx_address_take(struct cx_str bytes, struct cx_address *ret);
struct cx_str cx_address_bytes(const struct cx_address *address); /* a view */
bool cx_address_equal(const struct cx_address *a, const struct cx_address *b);
bool cx_address_within(const struct cx_address *address, const struct cx_prefix *prefix);
/*
 * What no name of the outside has a right to mean: the host's own, private, link-local, metadata,
 * multicast and reserved addresses, and IPv6 ones that carry any IPv4 address.
 */
bool cx_address_is_private(const struct cx_address *address);
/* How far address is from base; false when it is below it, or n or more above. */
CX_MUST bool cx_address_offset(const struct cx_address *address, const struct cx_address *base,
			       uint32_t n, uint32_t *ret);

/* Both families; a mapped IPv4 address becomes a plain one. False for others. */
CX_MUST bool cx_address_of_socket(const struct sockaddr_in6 *from, struct cx_address *ret);
socklen_t cx_address_to_socket(const struct cx_address *address, uint16_t port,
			       struct sockaddr_in6 *ret);

#endif
