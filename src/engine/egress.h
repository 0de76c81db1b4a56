/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_EGRESS_H
#define CX_ENGINE_EGRESS_H

#include "engine/host.h"
#include "proto/control_msgs.h"
#include "proto/resolver_msgs.h"

/* caissond's side of what sandboxes may reach: from messages to the firewall. slot: of a record. */

/* CX_UNAVAILABLE where there is no network, or the slot is CX_SLOT_NONE. */
CX_MUST int cx_egress_set(struct cx_host *host, uint32_t slot, const struct cx_msg_egress *m,
			  uint32_t *ret_number, struct cx_err *err);
CX_MUST int cx_egress_network(struct cx_host *host, uint32_t slot, struct cx_slot_link *ret,
			      struct cx_err *err);

/* What the resolver asks: as cx_firewall_permit(). Every field is checked. */
CX_MUST int cx_egress_permit(struct cx_host *host, const struct cx_msg_permit *m,
			     struct cx_err *err);

/* Its sandbox is gone: closes the slot and gives it back. One that cannot be closed is kept. */
void cx_egress_release(struct cx_host *host, uint32_t slot);

#endif
