/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_ROUTER_H
#define CX_NET_ROUTER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The router: a network namespace of caissond's own in which all links of sandboxes end, joined to
 * the host's by one pair, the uplink. It is kept by a mount on RUN/net in the host's mount
 * namespace, so it and the rules in it outlive caissond.
 *
 *	sandbox eth0 --- s<slot>, ifindex 16 + slot [router] uplink, ifindex 15 --- cx<instance>
 *[host]
 *
 * Sandboxes see 169.254.1.1, which is on lo of the router, as their gateway. All links have the
 *same address at both ends and IFF_NOARP: nobody asks who is where.
 */
enum { CX_ROUTER_UPLINK_INDEX = 15, CX_ROUTER_LINK_INDEX = 16 /* of slot 0 */ };
#define CX_ROUTER_UPLINK   "uplink"
#define CX_ROUTER_GATEWAY4 "169.254.1.1"
#define CX_ROUTER_GATEWAY6 "fdca:1550:0:1::1" /* on lo too, where there is IPv6 */
#define CX_ROUTER_HOP6	   "fe80::1"	      /* next hop of sandboxes; on no link */

struct cx_router {
	int netns;	      /* the router's */
	int home;	      /* network namespace of caissond: the host's */
	int mounts;	      /* mount namespace that holds RUN/net */
	const char *run_path; /* of the plan that it was opened with (setup.h) */
	bool adopted;	      /* an earlier caissond made it; links and rules may be in it */
	bool ip6;
	uint32_t mtu;			/* of the uplink and of sandboxes' links */
	char host_name[16];		/* "cx<instance>" */
	uint32_t host_index;		/* ifindex of that */
	struct in_addr host4, uplink4;	/* of a /31; sandboxes' addresses become uplink4 */
	struct in6_addr host6, uplink6; /* of a /127; with ip6 only */
};

#define CX_ROUTER_NONE                                            \
	{                                                         \
		.netns = -EBADF, .home = -EBADF, .mounts = -EBADF \
	}

/*
 * Runs fn inside the router's network namespace and comes back; fn must not. Returns what fn does.
 * A process that cannot come back aborts. Sockets opened inside stay there.
 */
CX_MUST int cx_router_run(const struct cx_router *router, int (*fn)(void *arg, struct cx_err *err),
			  void *arg, struct cx_err *err);

/* The way back by itself: into the network namespace home, or the process ends. */
void cx_router_leave(int home);

/* socket(2) with SOCK_CLOEXEC inside the router. Returns the descriptor. */
CX_MUST int cx_router_socket(const struct cx_router *router, int domain, int type, int protocol,
			     struct cx_err *err);

#endif
