/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_HOSTADDR_H
#define CX_NET_HOSTADDR_H

#include "base/loop.h"
#include "net/firewall.h"

/*
 * Tells the router which addresses are the host's own, now and whenever they change. What sandboxes
 * send there is then refused by the router, so that it is told like every other refusal. Nothing is
 * open without this or before: the host's own table closes them too.
 */
enum { CX_HOSTADDRS_MAX = 1024 }; /* beyond, they are refused by the host's table only */

struct cx_hostaddrs;

/* In the host's network namespace. fw has to live as long. */
CX_MUST int cx_hostaddrs_open(struct cx_loop *loop, struct cx_firewall *fw,
			      struct cx_hostaddrs **ret, struct cx_err *err);
void cx_hostaddrs_close(struct cx_hostaddrs *addrs); /* NULL is fine */

#endif
