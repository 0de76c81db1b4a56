/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/nameservers.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

enum { PORT = 53, TEXT_MAX = 64 };

struct span {
	const char *p;
	size_t len;
};

static bool take_address(const char *text, size_t len, struct in6_addr *ret)
{
	char address[TEXT_MAX];
	struct in_addr v4;

	if (len == 0 || len >= sizeof address)
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET6, address, ret) == 1)
		return true;
	if (inet_pton(AF_INET, address, &v4) != 1)
		return false;
	*ret = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(&ret->s6_addr[12], &v4, sizeof v4);
	return true;
}

/* Where the address is in the text, and the port behind it; NULL: none. False: neither. */
static bool split(const char *text, struct span *ret_address, const char **ret_port)
{
	const char *colon = strchr(text, ':'), *end;

	*ret_port = NULL;
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*ret_address = (struct span){ text + 1, (size_t)(end - text) - 1 };
		*ret_port = end[1] == ':' ? end + 2 : NULL;
		return true;
	}
	if (colon != NULL && strchr(colon + 1, ':') == NULL)
		*ret_port = colon + 1;
	*ret_address =
		(struct span){ text, *ret_port != NULL ? (size_t)(colon - text) : strlen(text) };
	return true;
}

int cx_nameserver_parse(const char *text, struct sockaddr_in6 *ret, struct cx_err *err)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6 };
	struct span address;
	const char *port;
	uint64_t number = PORT;

	if (!split(text, &address, &port) || !take_address(address.p, address.len, &at.sin6_addr) ||
	    (port != NULL && cx_parse_u64(port, 1, UINT16_MAX, "the port", &number, err) < 0))
		return cx_refuse(err, CX_INVALID,
				 "'%.60s' is not ADDRESS[:PORT] with a numeric address", text);
	at.sin6_port = htons((uint16_t)number);
	*ret = at;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

unsigned cx_nameservers_of(const char *resolv_conf, struct sockaddr_in6 ret[CX_NAMESERVERS_MAX])
{
	static const char word[] = "nameserver";
	unsigned n = 0;

	while (*resolv_conf != '\0' && n < CX_NAMESERVERS_MAX) {
		const char *line = resolv_conf, *at = line + strspn(line, " \t");
		struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };

		resolv_conf += strcspn(resolv_conf, "\n");
		resolv_conf += *resolv_conf == '\n';
		if (strncmp(at, word, strlen(word)) != 0 || !is_blank(at[strlen(word)]))
			continue;
		at += strlen(word);
		at += strspn(at, " \t");
		if (take_address(at, strcspn(at, " \t\r\n"), &sa.sin6_addr))
			ret[n++] = sa;
	}
	return n;
}
