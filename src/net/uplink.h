/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_UPLINK_H
#define CX_NET_UPLINK_H

#include "net/router.h"
#include "net/rtnl.h"

/*
 * The pair that joins the router to the host. Fills in what of a router is about it: mtu, host_*,
 * uplink*. Each end has a connection to its own namespace. What is there of an earlier caissond is
 * used, what is broken is made anew.
 */
CX_MUST int cx_uplink_open(struct cx_rtnl *host, struct cx_rtnl *inside, struct cx_router *router,
			   struct cx_err *err);
/* Removes it; one that is gone is fine. */
void cx_uplink_remove(struct cx_rtnl *host, const struct cx_router *router);

/* The pure part: the i-th of the pairs of addresses that an instance may have. */
enum { CX_UPLINK_PAIRS = 4096 };
void cx_uplink_addresses(const char *instance, unsigned i, struct in_addr *ret_host,
			 struct in_addr *ret_inside);

#endif
