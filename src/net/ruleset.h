/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_RULESET_H
#define CX_NET_RULESET_H

#include "base/buf.h"
#include "net/firewall.h"

/*
 * The texts of both tables for nft: router.nft and host.nft, with what differs between hosts put
 * in. It is made of numbers and addresses, and of names of ours that are checked here; nothing of
 * a client's gets into it.
 */
#define CX_RULESET_TABLE "caisson"
/* Of the sets in router.nft; another number when one of them is another than before. */
#define CX_RULESET_SCHEMA "schema_4"

/* keep: the table is there with sets of this schema, which keep their elements. */
CX_MUST int cx_ruleset_router(const struct cx_firewall_plan *plan, bool keep, struct cx_buf *ret,
			      struct cx_err *err);
CX_MUST int cx_ruleset_host(const struct cx_firewall_plan *plan, struct cx_buf *ret,
			    struct cx_err *err);

#endif
