/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/listen.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { BACKLOG = 128 };

int cx_listen_at(const struct sockaddr_in6 *at, int backlog, int *ret, struct cx_err *err)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(&at->sin6_addr);
	cx_autofd int sock = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = at->sin6_port };
	const struct sockaddr *sa = (const struct sockaddr *)at;
	char text[INET6_ADDRSTRLEN] = "";
	int on = 1;

	memcpy(&in.sin_addr, &at->sin6_addr.s6_addr[12], sizeof in.sin_addr);
	if (v4)
		sa = (const struct sockaddr *)&in;
	(void)inet_ntop(AF_INET6, &at->sin6_addr, text, sizeof text);
	/* Connections of an earlier listener may linger on the port; two listeners never share it.
	 */
	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (!v4 && setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
	    bind(sock, sa, v4 ? sizeof in : sizeof *at) < 0 || listen(sock, backlog) < 0) {
		(void)cx_fail(err, errno, "listen on %s port %d", text, ntohs(at->sin6_port));
		if (err->errnum == EADDRINUSE)
			err->kind = CX_CONFLICT;
		return -err->errnum;
	}
	*ret = cx_take_fd(&sock);
	return 0;
}

static int port_of(int sock, uint16_t *ret, struct cx_err *err)
{
	struct sockaddr_in6 at = { 0 }; /* the port of IPv4 is in the same place */
	socklen_t len = sizeof at;

	if (getsockname(sock, (struct sockaddr *)&at, &len) < 0)
		return cx_fail(err, errno, "look at a listening socket");
	*ret = ntohs(at.sin6_port);
	return 0;
}

/* One port after the other from a random one on: who used one before is not met again so soon. */
static int find_free(const struct sockaddr_in6 *at, struct cx_ports ports, int *ret,
		     struct cx_err *err)
{
	unsigned n = ports.high - ports.low + 1U, start = 0;

	if (getrandom(&start, sizeof start, 0) != sizeof start)
		return cx_fail(err, EIO, "getrandom");
	for (unsigned i = 0; i < n; i++) {
		struct sockaddr_in6 to = *at;

		to.sin6_port = htons((uint16_t)(ports.low + (start % n + i) % n));
		if (cx_listen_at(&to, BACKLOG, ret, err) == 0)
			return 0;
		if (err->kind != CX_CONFLICT)
			return -err->errnum;
	}
	return cx_refuse(err, CX_LIMIT, "every port from %u to %u is taken", ports.low, ports.high);
}

int cx_listen_for(const struct cx_config *config, enum cx_listen_purpose purpose, uint16_t port,
		  int *ret, uint16_t *ret_port, struct cx_err *err)
{
	struct sockaddr_in6 at = purpose == CX_LISTEN_SSH     ? config->ssh_listen
				 : purpose == CX_LISTEN_HTTPS ? config->expose_listen
							      : config->expose_address;
	struct cx_ports ports = config->expose_ports;
	cx_autofd int sock = -EBADF;
	int r;

	if (purpose == CX_LISTEN_HTTPS && config->expose_domain[0] == '\0')
		return cx_refuse(err, CX_INVALID, "no domain is configured");
	if (purpose != CX_LISTEN_EXPOSE)
		ports.low = ports.high = ntohs(at.sin6_port);
	if (port != 0 && (port < ports.low || port > ports.high))
		return cx_refuse(err, CX_INVALID,
				 "port %u is none of %u to %u, which are to be used", port,
				 ports.low, ports.high);
	at.sin6_port = htons(port);
	if (port != 0 || ports.high == 0)
		r = cx_listen_at(&at, BACKLOG, &sock, err);
	else
		r = find_free(&at, ports, &sock, err);
	if (r < 0 || port_of(sock, ret_port, err) < 0)
		return -err->errnum;
	*ret = cx_take_fd(&sock);
	return 0;
}
