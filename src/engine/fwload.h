/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_FWLOAD_H
#define CX_ENGINE_FWLOAD_H

#include "engine/config.h"
#include "net/firewall.h"

/* The firewall as it is configured. Behind the slots and before the first link; as
 * cx_firewall_open(). */
CX_MUST int cx_fwload_open(const struct cx_config *config, const char *instance,
			   const struct cx_router *router, uint32_t slots, struct cx_firewall **ret,
			   struct cx_err *err);
/* Without a network: takes away what an earlier caissond left in the host. */
void cx_fwload_discard(const char *instance);

/*
 * Has caisson-firewall (src/cmd/firewall.c) load a ruleset in a network namespace, and waits for
 * it: 10 s at most. program: its path. As load of struct cx_firewall_plan. CX_UNAVAILABLE, with
 * what nft said, when it cannot.
 */
CX_MUST int cx_fwload(void *program, int netns, const struct cx_buf *text, struct cx_err *err);

#endif
