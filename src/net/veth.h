/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_VETH_H
#define CX_NET_VETH_H

#include "net/rtnl.h"
#include "net/slots.h"

/*
 * Makes the link of one sandbox. The caller is in the sandbox's network namespace, in which no link
 * but lo was made; router is a connection to the router and router_ns its namespace. Afterwards
 * eth0 has its addresses and a default route, and the router knows the way back. What a failure
 * leaves goes with the sandbox's namespace.
 */
CX_MUST int cx_veth_make(struct cx_rtnl *router, int router_ns, const struct cx_slot_link *link,
			 struct cx_err *err);

#endif
