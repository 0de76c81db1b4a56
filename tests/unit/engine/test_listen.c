/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/listen.h"

#include <string.h>
#include <sys/socket.h>

#include "check_main.h"

static struct cx_err err;

static struct cx_config configured(uint16_t low, uint16_t high)
{
	struct cx_config c = { .expose_address = { .sin6_family = AF_INET6 },
			       .expose_ports = { low, high },
			       .ssh_listen = { .sin6_family = AF_INET6 } };
	static const uint8_t loopback[16] = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 };

	memcpy(&c.expose_address.sin6_addr, loopback, sizeof loopback);
	memcpy(&c.ssh_listen.sin6_addr, loopback, sizeof loopback);
	return c;
}

/* A few ports that are free now: somebody else may take one of them, hardly all. */
static struct cx_config some_ports(unsigned n)
{
	struct cx_config any = configured(0, 0);
	uint16_t port = 0;
	int sock;

	do {
		ck_assert_int_eq(cx_listen_for(&any, CX_LISTEN_EXPOSE, 0, &sock, &port, &err), 0);
		cx_close(&sock);
	} while (port > UINT16_MAX - n);
	return configured(port, (uint16_t)(port + n - 1));
}

static bool can_connect(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	cx_autofd int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(sock, (struct sockaddr *)&at, sizeof at) == 0;
}

START_TEST(every_port_of_the_range_is_used_and_no_other)
{
	struct cx_config c = some_ports(8);
	int socks[8];
	bool seen[8] = { false };
	uint16_t port = 0;
	unsigned n = 0;

	while (n < 8 && cx_listen_for(&c, CX_LISTEN_EXPOSE, 0, &socks[n], &port, &err) == 0) {
		ck_assert_uint_ge(port, c.expose_ports.low);
		ck_assert_uint_le(port, c.expose_ports.high);
		ck_assert(!seen[port - c.expose_ports.low]);
		seen[port - c.expose_ports.low] = true;
		ck_assert(can_connect(port));
		n++;
	}
	ck_assert_uint_gt(n, 3);
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_EXPOSE, 0, &socks[0], &port, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	while (n-- > 0)
		cx_close(&socks[n]);
}
END_TEST

START_TEST(a_port_is_had_again_after_its_connections)
{
	struct cx_config c = some_ports(4);
	uint16_t port = 0, again = 0;
	int first, second = -EBADF, theirs, ours;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	ck_assert_int_eq(cx_listen_for(&c, CX_LISTEN_EXPOSE, 0, &first, &port, &err), 0);
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_EXPOSE, port, &second, &again, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_port = htons(port);
	ck_assert_int_eq(connect(ours, (struct sockaddr *)&at, sizeof at), 0);
	theirs = accept4(first, NULL, NULL, SOCK_CLOEXEC);
	cx_close(&theirs); /* the end that closes first keeps the port for a while */
	cx_close(&ours);
	cx_close(&first);
	ck_assert_int_eq(cx_listen_for(&c, CX_LISTEN_EXPOSE, port, &second, &again, &err), 0);
	ck_assert_uint_eq(again, port);
	cx_close(&second);
}
END_TEST

START_TEST(what_is_not_configured_is_refused)
{
	struct cx_config c = some_ports(4);
	uint16_t port = 0;
	int sock = -EBADF;

	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_EXPOSE, (uint16_t)(c.expose_ports.low - 1),
				       &sock, &port, &err),
			 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_EXPOSE, (uint16_t)(c.expose_ports.high + 1),
				       &sock, &port, &err),
			 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_eq(sock, -EBADF);
}
END_TEST

START_TEST(ssh_has_its_own_port)
{
	struct cx_config c = some_ports(4);
	uint16_t port = 0, again = 0;
	int sock = -EBADF;

	ck_assert_int_eq(cx_listen_for(&c, CX_LISTEN_SSH, 0, &sock, &port, &err), 0);
	ck_assert_uint_ne(port, 0);
	cx_close(&sock);
	c.ssh_listen.sin6_port = htons(port);
	ck_assert_int_eq(cx_listen_for(&c, CX_LISTEN_SSH, 0, &sock, &again, &err), 0);
	ck_assert_uint_eq(again, port);
	ck_assert(can_connect(port));
	cx_close(&sock);
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_SSH, c.expose_ports.low, &sock, &port, &err),
			 0);
}
END_TEST

START_TEST(https_is_for_who_has_a_domain)
{
	struct cx_config c = some_ports(4);
	uint16_t port = 0;
	int sock = -EBADF;

	c.expose_listen = c.ssh_listen;
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_HTTPS, 0, &sock, &port, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	(void)strcpy(c.expose_domain, "apps.example");
	ck_assert_int_eq(cx_listen_for(&c, CX_LISTEN_HTTPS, 0, &sock, &port, &err), 0);
	ck_assert(can_connect(port));
	cx_close(&sock);
	ck_assert_int_lt(cx_listen_for(&c, CX_LISTEN_HTTPS, c.expose_ports.low, &sock, &port, &err),
			 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/listen");
	TCase *tc = tcase_create("listen");

	tcase_add_test(tc, every_port_of_the_range_is_used_and_no_other);
	tcase_add_test(tc, a_port_is_had_again_after_its_connections);
	tcase_add_test(tc, what_is_not_configured_is_refused);
	tcase_add_test(tc, ssh_has_its_own_port);
	tcase_add_test(tc, https_is_for_who_has_a_domain);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
