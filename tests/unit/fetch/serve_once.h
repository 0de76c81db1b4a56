/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_FETCH_SERVE_ONCE_H
#define CX_TESTS_FETCH_SERVE_ONCE_H

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "check_main.h"

/* A server that gives each of n connections the same bytes for its first request, then closes it.
 * What it was asked goes into the file "seen", unless that is -1. Returns its port. It ends with
 * the test. */
static inline unsigned serve_seen(const char *bytes, size_t len, unsigned n, int seen)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof at;
	const struct timeval pause = { .tv_usec = 100000 };
	char in[8192];
	ssize_t got;

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (n-- > 0) {
			int sock = accept(listener, NULL, NULL);

			(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
			/* Until it says no more for a while. */
			while ((got = recv(sock, in, sizeof in, 0)) > 0)
				(void)!write(seen, in, (size_t)got);
			(void)!send(sock, bytes, len, MSG_NOSIGNAL);
			(void)shutdown(sock, SHUT_WR);
			while (recv(sock, in, sizeof in, 0) > 0)
				;
			(void)close(sock);
		}
		_exit(0);
	}
	(void)close(listener);
	return ntohs(at.sin_port);
}

static inline unsigned serve(const char *bytes, size_t len, unsigned n)
{
	return serve_seen(bytes, len, n, -1);
}

#endif
