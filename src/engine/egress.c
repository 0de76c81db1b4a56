/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/egress.h"

#include <string.h>

#include "base/log.h"

static int need_link(const struct cx_host *h, uint32_t slot, struct cx_err *err)
{
	if (h->firewall == NULL)
		return cx_refuse(err, CX_UNAVAILABLE,
				 "there is no network here ([network] enabled)");
	if (slot == CX_SLOT_NONE)
		return cx_refuse(err, CX_UNAVAILABLE, "the sandbox was made without a network");
	return 0;
}

int cx_egress_network(struct cx_host *h, uint32_t slot, struct cx_slot_link *ret,
		      struct cx_err *err)
{
	if (need_link(h, slot, err) < 0)
		return -err->errnum;
	cx_slots_link(h->slots, slot, ret);
	return 0;
}

int cx_egress_set(struct cx_host *h, uint32_t slot, const struct cx_msg_egress *m,
		  uint32_t *ret_number, struct cx_err *err)
{
	uint32_t n = m->rules.len / CX_NETRULE_SIZE;
	cx_autofree struct cx_netrule *rules = NULL;
	struct cx_firewall_policy policy = { .mode = (enum cx_egress)m->mode,
					     .names = m->names == 1,
					     .link = m->link,
					     .nrules = n };

	if (need_link(h, slot, err) < 0)
		return -err->errnum;
	if (m->rules.len % CX_NETRULE_SIZE != 0)
		return cx_refuse(err, CX_INVALID, "%u bytes of rules", m->rules.len);
	rules = calloc(n > 0 ? n : 1, sizeof *rules);
	if (rules == NULL)
		return cx_fail(err, ENOMEM, "rules of a policy");
	for (uint32_t i = 0; i < n; i++)
		if (cx_netrule_get((const uint8_t *)m->rules.p + (size_t)i * CX_NETRULE_SIZE,
				   &rules[i], err) < 0)
			return -err->errnum;
	policy.rules = rules;
	return cx_firewall_set(h->firewall, slot, &policy, ret_number, err);
}

static uint16_t port_at(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

int cx_egress_permit(struct cx_host *h, const struct cx_msg_permit *m, struct cx_err *err)
{
	struct cx_port_range ports[CX_PERMIT_PORTS_MAX];
	struct cx_permit permit = { .slot = m->slot,
				    .number = m->number,
				    .family = m->address.len == 4 ? 4 : 6,
				    .ttl_s = m->ttl_s,
				    .ports = ports,
				    .nports = m->ports.len / 4 };
	const uint8_t *p = (const uint8_t *)m->ports.p;

	if (h->firewall == NULL)
		return cx_refuse(err, CX_UNAVAILABLE, "there is no network here");
	if ((m->address.len != 4 && m->address.len != 16) || m->ports.len % 4 != 0 ||
	    (m->any_port == 1) != (m->ports.len == 0))
		return cx_refuse(err, CX_INVALID, "an address of %u bytes, %u of ports",
				 m->address.len, m->ports.len);
	memcpy(permit.address, m->address.p, m->address.len);
	for (uint32_t i = 0; i < permit.nports; i++)
		ports[i] = (struct cx_port_range){ port_at(p + (size_t)i * 4),
						   port_at(p + (size_t)i * 4 + 2) };
	return cx_firewall_permit(h->firewall, &permit, err);
}

void cx_egress_release(struct cx_host *h, uint32_t slot)
{
	struct cx_err err;

	if (slot == CX_SLOT_NONE || h->slots == NULL)
		return;
	if (cx_firewall_forget(h->firewall, slot, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "link of an ended sandbox is not used again", NULL);
	else
		cx_slots_release(h->slots, slot);
}
