/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config_net.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "proto/wire.h"

enum { NET_TEXT = 64, LABEL_MAX = 63 };

static struct cx_str piece(const char *from, const char *to)
{
	return (struct cx_str){ from, (uint32_t)(to - from) };
}

static uint8_t family_of(const char *text, uint8_t *ret_address)
{
	if (inet_pton(AF_INET, text, ret_address) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ret_address) == 1 ? 6 : 0;
}

static int parse_net(const char *text, struct cx_netrule *ret, struct cx_err *err)
{
	const char *slash = strchr(text, '/');
	struct cx_netrule net = { 0 };
	uint8_t bytes[CX_NETRULE_SIZE];
	char address[NET_TEXT];
	uint64_t prefix;

	if (slash == NULL || !cx_str_copy(piece(text, slash), address, sizeof address))
		return cx_refuse(err, CX_INVALID, "'%s' is not ADDRESS/PREFIX", text);
	net.family = family_of(address, net.address);
	if (net.family == 0)
		return cx_refuse(err, CX_INVALID, "'%s' is not ADDRESS/PREFIX", text);
	if (cx_parse_u64(slash + 1, 0, net.family == 4 ? 32 : 128, "PREFIX", &prefix, err) < 0)
		return -err->errnum;
	net.prefix = (uint8_t)prefix;
	cx_netrule_put(&net, bytes);
	if (cx_netrule_get(bytes, ret, err) < 0)
		return cx_refuse(err, CX_INVALID, "'%s' has bits set behind its prefix", text);
	return 0;
}

int cx_config_nets(const char *value, struct cx_netrule *ret, uint32_t max, uint32_t *ret_n,
		   struct cx_err *err)
{
	uint32_t n = 0;

	for (;;) {
		char text[NET_TEXT];
		const char *end;

		value += strspn(value, " \t");
		end = value + strcspn(value, ", \t");
		if (n == max)
			return cx_refuse(err, CX_INVALID, "at most %u networks", max);
		if (!cx_str_copy(piece(value, end), text, sizeof text))
			return cx_refuse(err, CX_INVALID, "'%.60s' is not ADDRESS/PREFIX", value);
		if (parse_net(text, &ret[n++], err) < 0)
			return -err->errnum;
		value = end + strspn(end, " \t");
		if (*value == '\0')
			break;
		if (*value++ != ',')
			return cx_refuse(err, CX_INVALID, "networks are separated by ','");
	}
	*ret_n = n;
	return 0;
}

/* Letters, digits and '-' in labels between dots, as a client asks for it. */
static bool is_host_name(const char *name)
{
	static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	for (;;) {
		size_t len = strspn(name, inner);

		if (len == 0 || len > LABEL_MAX || name[0] == '-' || name[len - 1] == '-')
			return false;
		name += len;
		if (*name == '\0')
			return true;
		if (*name++ != '.')
			return false;
	}
}

int cx_config_service(const char *value, struct cx_service *ret, struct cx_err *err)
{
	const char *equals = strchr(value, '='), *colon = strrchr(value, ':');
	struct cx_service service = { 0 };
	char address[NET_TEXT];
	uint64_t port;
	bool v6;

	if (equals == NULL || colon == NULL || colon <= equals + 1)
		return cx_refuse(err, CX_INVALID, "'%.60s' is not NAME=ADDRESS:PORT", value);
	if (!cx_str_copy(piece(value, equals), service.name, sizeof service.name) ||
	    !is_host_name(service.name))
		return cx_refuse(err, CX_INVALID,
				 "'%.60s' begins with no name of lower-case letters, digits, '-' "
				 "and '.'",
				 value);
	v6 = equals[1] == '[' && colon[-1] == ']' && colon > equals + 3;
	if (!cx_str_copy(piece(equals + 1 + v6, colon - v6), address, sizeof address))
		return cx_refuse(err, CX_INVALID, "'%.60s' is not NAME=ADDRESS:PORT", value);
	service.family = family_of(address, service.address);
	if (service.family != (v6 ? 6 : 4))
		return cx_refuse(err, CX_INVALID,
				 "'%.60s' has no numeric address ([..] for IPv6) behind its name",
				 value);
	if (cx_parse_u64(colon + 1, 1, 65535, "the port", &port, err) < 0)
		return -err->errnum;
	service.port = (uint16_t)port;
	*ret = service;
	return 0;
}
