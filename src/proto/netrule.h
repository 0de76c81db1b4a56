/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_NETRULE_H
#define CX_PROTO_NETRULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * One destination of a policy: addresses, and what of them. On the wire CX_NETRULE_SIZE
 * (control_msgs.h) bytes: family, prefix, protocol, 0, low and high port (little endian), address.
 */
struct cx_netrule {
	uint8_t family;	     /* 4 or 6 */
	uint8_t prefix;	     /* bits of the address that count: 0-32 or 0-128 */
	uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP; 0: every one, then without ports */
	uint16_t low, high;  /* ports, 1-65535; both 0: every one */
	uint8_t address[16]; /* the first 4 of IPv4; bits behind the prefix are 0 */
};

void cx_netrule_put(const struct cx_netrule *rule, uint8_t *ret);
/* Refuses what is not exactly as said above. */
CX_MUST int cx_netrule_get(const uint8_t *bytes, struct cx_netrule *ret, struct cx_err *err);

#endif
