/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_SETUP_H
#define CX_NET_SETUP_H

#include "net/router.h"

struct cx_router_plan {
	const char *run_path; /* the caller's, as long as the router is open */
	int run;	      /* the same directory */
	int mounts;	      /* mount namespace that caissond was started in */
	const char *instance; /* names the host's end of the uplink */
	bool ip6;	      /* sandboxes have IPv6 addresses too */
	bool forward;	      /* may switch on forwarding in the host */
};

/*
 * Makes the router and its uplink, or adopts what is there and repairs what of it is missing; both
 * are up afterwards and whoever wants rules loads them next (no sandbox has a link yet, or rules of
 * the last caissond are in force). CX_UNAVAILABLE, with what to do, when the kernel cannot, or when
 * the host does not forward and plan->forward is false. Needs CAP_SYS_ADMIN, CAP_SYS_CHROOT,
 * CAP_NET_ADMIN, and that nothing of RUN/net is mounted in the caller's mount namespace.
 */
CX_MUST int cx_router_open(const struct cx_router_plan *plan, struct cx_router *ret,
			   struct cx_err *err);
/* Takes what an earlier caissond left of a router away, and with it the links of its sandboxes. */
void cx_router_discard(const struct cx_router_plan *plan);
/* With clean, the uplink goes, the mount goes, and the namespace with the last link in it. */
void cx_router_close(struct cx_router *router, bool clean);

#endif
