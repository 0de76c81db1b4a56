/* SPDX-License-Identifier: Apache-2.0 */
/* What one sandbox can use up of the router: connections, packets, pieces of packets, questions. */
#include "fwworld.h"

static struct world w;
static int web, udp, udp6, dns, dns6; /* servers in OUT, on port 80, and in ROUTER */

static void set_up(void)
{
	make_world(&w);
	web = serve(&w, OUT, "0.0.0.0", 80, SOCK_STREAM);
	udp = serve(&w, OUT, OUT4, 80, SOCK_DGRAM);
	udp6 = serve(&w, OUT, OUT6, 80, SOCK_DGRAM);
	dns = serve(&w, ROUTER, GATEWAY4, 53, SOCK_DGRAM);
	dns6 = serve(&w, ROUTER, GATEWAY6, 53, SOCK_DGRAM);
}

static void tear_down(void)
{
	cx_close(&web);
	cx_firewall_close(w.fw, true);
}

/* For all that is sent: nothing is lost for want of it. */
static void make_room(int sock)
{
	const int bytes = 64 << 20;

	ck_assert_int_eq(setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes), 0);
	ck_assert_int_eq(setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes), 0);
}

static unsigned tracked(void)
{
	FILE *f;
	unsigned n;

	enter(&w, ROUTER);
	f = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	ck_assert_int_eq(fclose(f), 0);
	return n;
}

START_TEST(connections_are_bounded_for_each_sandbox)
{
	struct cx_err err = { 0 };
	int fds[8], server = serve(&w, B, "0.0.0.0", 80, SOCK_STREAM);
	unsigned before;

	reopen(&w, 8, 100000);
	set_policy(&w, 0, CX_EGRESS_ALL, 1, NULL);
	set_policy(&w, 1, CX_EGRESS_ALL, 1, NULL);
	for (size_t i = 0; i < CX_LEN(fds); i++)
		ck_assert_int_eq(dial(&w, A, i % 2 == 0 ? OUT4 : B4, 80, &fds[i]), 0);
	REFUSED(OUT4, 80);
	REFUSED(B4, 80);
	set_policy(&w, 0, CX_EGRESS_ALL, 1, NULL);
	REFUSED(OUT4, 80);
	ck_assert_int_eq(dial(&w, B, OUT4, 80, NULL), 0);
	/* Those of the last owner do not count, and are over. */
	before = tracked();
	ck_assert_int_eq(cx_firewall_forget(w.fw, 0, &err), 0);
	ck_assert_uint_le(tracked() + CX_LEN(fds), before);
	set_policy(&w, 0, CX_EGRESS_ALL, 1, NULL);
	for (size_t i = 0; i < CX_LEN(fds); i++)
		ck_assert_int_eq(dial(&w, A, OUT4, 80, &fds[i]), 0);
	cx_close(&server);
}
END_TEST

START_TEST(packets_are_bounded)
{
	unsigned seen = 0;
	char buf[64];

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	send_raw(&w, A4, OUT4, 80); /* under the old limit, which is not to stay with it */
	ck_assert(is_ready(udp, POLLIN, COMES_MS));
	reopen(&w, 1000, 100);
	make_room(udp);
	for (int i = 0; i < 2000; i++)
		send_raw(&w, A4, OUT4, 80);
	while (is_ready(udp, POLLIN, 100) && recv(udp, buf, sizeof buf, 0) > 0)
		seen++;
	ck_assert_uint_ge(seen, 50);
	ck_assert_uint_lt(seen, 1900);
}
END_TEST

/* First pieces of packets whose rest never comes. */
START_TEST(fragments_are_bounded)
{
	char text[512], *at;
	FILE *f;
	size_t n;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	for (uint16_t i = 1; i <= 6000; i++)
		send_packet(&w, A4, OUT4, 80, i, IP_MF);
	enter(&w, ROUTER);
	f = fopen("/proc/net/sockstat", "re");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof text - 1, f);
	ck_assert_int_eq(fclose(f), 0);
	text[n] = '\0';
	at = strstr(text, "FRAG: inuse ");
	ck_assert_ptr_nonnull(at);
	ck_assert_uint_lt(strtoul(at + strlen("FRAG: inuse "), NULL, 10), 5900);
	set_policy(&w, 1, CX_EGRESS_ALL, 0, NULL);
	ck_assert_int_eq(ask(&w, B, OUT4, 80, udp, 9000), 0);
}
END_TEST

START_TEST(fragments_are_bounded_over_ipv6)
{
	enum { DATAGRAMS = 1000, SIZE = 9000 }; /* seven pieces each */
	static char bytes[SIZE];
	struct address a = address(OUT6, 80);
	cx_autofd int fd = make_socket(&w, A, OUT6, SOCK_DGRAM);
	unsigned seen = 0;

	make_room(fd);
	make_room(udp6);
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	for (int i = 0; i < DATAGRAMS; i++)
		(void)!sendto(fd, bytes, SIZE, 0, (struct sockaddr *)&a.sa, a.len);
	while (is_ready(udp6, POLLIN, 100) && recv(udp6, bytes, SIZE, 0) > 0)
		seen++;
	ck_assert_uint_ge(seen, 50);
	ck_assert_uint_lt(seen, DATAGRAMS * 9 / 10);
}
END_TEST

/* Else who asks, which is not counted as a connection, would fill what all sandboxes share. */
START_TEST(questions_are_not_tracked)
{
	unsigned before = tracked();

	for (int i = 0; i < 20; i++) { /* each from another port */
		ck_assert_int_eq(ask(&w, A, GATEWAY4, 53, dns, 10), 0);
		ck_assert_int_eq(ask(&w, A, GATEWAY6, 53, dns6, 10), 0);
	}
	ck_assert_uint_lt(tracked(), before + 10);
}
END_TEST

START_TEST(questions_are_bounded)
{
	unsigned seen = 0;
	char buf[64];

	make_room(dns);
	for (int i = 0; i < 6000; i++)
		send_raw(&w, A4, GATEWAY4, 53);
	while (is_ready(dns, POLLIN, 100) && recv(dns, buf, sizeof buf, 0) > 0)
		seen++;
	ck_assert_uint_ge(seen, 50);
	ck_assert_uint_lt(seen, 5900);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/fwbounds");
	TCase *tc = tcase_create("bounds");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, connections_are_bounded_for_each_sandbox);
	tcase_add_test(tc, packets_are_bounded);
	tcase_add_test(tc, fragments_are_bounded);
	tcase_add_test(tc, fragments_are_bounded_over_ipv6);
	tcase_add_test(tc, questions_are_not_tracked);
	tcase_add_test(tc, questions_are_bounded);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
