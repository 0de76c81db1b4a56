/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/netrule.h"

#include <netinet/in.h>
#include <string.h>

#include "proto/control_msgs.h"

/* Places in the bytes of a rule. */
enum { AT_FAMILY, AT_PREFIX, AT_PROTOCOL, AT_ZERO, AT_LOW, AT_HIGH = 6, AT_ADDRESS = 8 };

static void put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

void cx_netrule_put(const struct cx_netrule *rule, uint8_t *ret)
{
	ret[AT_FAMILY] = rule->family;
	ret[AT_PREFIX] = rule->prefix;
	ret[AT_PROTOCOL] = rule->protocol;
	ret[AT_ZERO] = 0;
	put_u16(ret + AT_LOW, rule->low);
	put_u16(ret + AT_HIGH, rule->high);
	memcpy(ret + AT_ADDRESS, rule->address, sizeof rule->address);
}

/* Of the 16 bytes of an address, whether all bits from `from` on are 0. */
static bool is_clear_from(const uint8_t *address, unsigned from)
{
	for (unsigned bit = from; bit < 128; bit++)
		if ((address[bit / 8] & (0x80 >> bit % 8)) != 0)
			return false;
	return true;
}

static bool has_valid_ports(const struct cx_netrule *rule)
{
	if (rule->low == 0 && rule->high == 0)
		return true;
	return rule->protocol != 0 && rule->low >= 1 && rule->low <= rule->high;
}

int cx_netrule_get(const uint8_t *bytes, struct cx_netrule *ret, struct cx_err *err)
{
	struct cx_netrule rule = {
		.family = bytes[AT_FAMILY],
		.prefix = bytes[AT_PREFIX],
		.protocol = bytes[AT_PROTOCOL],
		.low = get_u16(bytes + AT_LOW),
		.high = get_u16(bytes + AT_HIGH),
	};

	static_assert(AT_ADDRESS + sizeof rule.address == CX_NETRULE_SIZE, "no gap at the end");
	memcpy(rule.address, bytes + AT_ADDRESS, sizeof rule.address);
	if (bytes[AT_ZERO] != 0 || (rule.family != 4 && rule.family != 6))
		return cx_refuse(err, CX_INVALID, "a rule of family %u", rule.family);
	if (rule.prefix > (rule.family == 4 ? 32 : 128) ||
	    !is_clear_from(rule.address, rule.prefix))
		return cx_refuse(err, CX_INVALID, "a rule with an address that is not of /%u",
				 rule.prefix);
	if (rule.protocol != 0 && rule.protocol != IPPROTO_TCP && rule.protocol != IPPROTO_UDP)
		return cx_refuse(err, CX_INVALID, "a rule of protocol %u", rule.protocol);
	if (!has_valid_ports(&rule))
		return cx_refuse(err, CX_INVALID, "a rule with ports %u-%u", rule.low, rule.high);
	*ret = rule;
	return 0;
}
