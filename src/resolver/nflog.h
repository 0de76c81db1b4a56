/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_NFLOG_H
#define CX_RESOLVER_NFLOG_H

#include "proto/resolver_msgs.h"
#include "resolver/address.h"

/* A packet that the router refused. */
struct cx_refusal {
	uint32_t ifindex, number; /* of the link it came from; of the policy, 0: none */
	struct cx_address to;
	uint8_t protocol;
	uint16_t port; /* 0: has none, or it is in another fragment */
	char why[CX_WHY_MAX + 1];
};

/*
 * Reads a datagram of the kernel's (net/firewall.h says of what), the packets in which are
 * sandboxes'. Calls each() for what can be understood; the rest is passed over.
 */
void cx_nflog_read(const uint8_t *data, size_t len,
		   void (*each)(void *arg, const struct cx_refusal *refusal), void *arg);

#endif
