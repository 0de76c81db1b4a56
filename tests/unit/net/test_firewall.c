/* SPDX-License-Identifier: Apache-2.0 */
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>

#include "fwworld.h"

static struct world w;
static int web, web443, web6, udp, udp6; /* servers in OUT, on port 80 but for one */
static int dns, dns_tcp, dns6;		 /* in ROUTER */

static void set_up(void)
{
	make_world(&w);
	web = serve(&w, OUT, "0.0.0.0", 80, SOCK_STREAM);
	web443 = serve(&w, OUT, "0.0.0.0", 443, SOCK_STREAM);
	web6 = serve(&w, OUT, "::", 80, SOCK_STREAM);
	udp = serve(&w, OUT, OUT4, 80, SOCK_DGRAM);
	udp6 = serve(&w, OUT, OUT6, 80, SOCK_DGRAM);
	dns = serve(&w, ROUTER, GATEWAY4, 53, SOCK_DGRAM);
	dns_tcp = serve(&w, ROUTER, GATEWAY4, 53, SOCK_STREAM);
	dns6 = serve(&w, ROUTER, GATEWAY6, 53, SOCK_DGRAM);
}

static void tear_down(void)
{
	cx_firewall_close(w.fw, true);
}

/* ---- policies -------------------------------------------------------------------------------- */

START_TEST(without_a_policy_there_is_the_resolver_and_nothing_else)
{
	REFUSED(OUT4, 80);
	REFUSED(OUT6, 80);
	REFUSED(SERVICE4, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), EHOSTUNREACH);
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), EACCES);
	ck_assert_int_ne(echo(&w, OUT4), 0);
	ck_assert_int_eq(ask(&w, A, GATEWAY4, 53, dns, 10), 0);
	ck_assert_int_eq(ask(&w, A, GATEWAY6, 53, dns6, 10), 0);
	PASSES(GATEWAY4, 53);
}
END_TEST

START_TEST(none_is_services_only)
{
	int service = serve(&w, OUT, SERVICE4, 80, SOCK_DGRAM);
	int service6 = serve(&w, OUT, SERVICE6, 80, SOCK_DGRAM);

	set_policy(&w, 0, CX_EGRESS_NONE, 0, NULL);
	REFUSED(OUT4, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), EHOSTUNREACH);
	REFUSED(ALLOWED4, 80);
	PASSES(SERVICE4, 80);
	PASSES(SERVICE6, 80);
	ck_assert_int_eq(ask(&w, A, SERVICE4, 80, service, 10), 0);
	ck_assert_int_eq(ask(&w, A, SERVICE6, 80, service6, 10), 0);
	REFUSED(SERVICE4, 443);
	REFUSED(SERVICE6, 443);
	PASSES(GATEWAY4, 53);
	cx_close(&service);
	cx_close(&service6);
}
END_TEST

START_TEST(all_is_what_is_not_private)
{
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	PASSES(OUT4, 80);
	PASSES(OUT4, 443);
	PASSES(OUT6, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), 0);
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), 0);
	ck_assert_int_eq(echo(&w, OUT4), 0);
	PASSES(ALLOWED4, 80);
	PASSES(SERVICE4, 80);
	REFUSED(PRIVATE4, 80);
	REFUSED(SERVICE4, 443);
	REFUSED("169.254.169.254", 80);
	REFUSED("fd00:ec2::254", 80);
	ck_assert_int_ne(echo(&w, PRIVATE4), 0);
}
END_TEST

START_TEST(fragments_are_judged_as_a_whole)
{
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("198.51.100.1/32 udp 80"));
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 9000), 0);
	ck_assert_int_eq(ask(&w, A, OUT4, 81, udp, 9000), EHOSTUNREACH);
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("2001:db8::/64 udp 80-80"));
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 9000), 0);
}
END_TEST

START_TEST(a_list_allows_what_it_says)
{
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0,
		   RULES("198.51.100.0/31 tcp 70-90", "2001:db8::/120", "10.6.6.6/32",
			 "198.51.100.1/32 tcp 80"));
	PASSES(OUT4, 80);
	REFUSED(OUT4, 443);
	REFUSED(OUT4B, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), EHOSTUNREACH);
	ck_assert_int_ne(echo(&w, OUT4), 0);
	PASSES(OUT6, 80);
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), 0);
	REFUSED(PRIVATE4, 80);
	REFUSED(ALLOWED4, 80);
	PASSES(SERVICE4, 80);
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("198.51.100.2/32", "10.5.0.0/16 tcp"));
	REFUSED(OUT4, 80);
	REFUSED(OUT6, 80);
	PASSES(OUT4B, 443);
	PASSES(ALLOWED4, 80);
	ck_assert_int_eq(echo(&w, OUT4B), 0);
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("2001:db8::/64 tcp 80", "198.51.100.1/32 udp"));
	PASSES(OUT6, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), 0);
	REFUSED(OUT4, 80);
}
END_TEST

START_TEST(a_list_denies_what_it_says)
{
	set_policy(&w, 0, CX_EGRESS_DENY, 0,
		   RULES("198.51.100.1/32 tcp 80", "198.51.100.1/32 udp", "2001:db8::/64 tcp 80"));
	REFUSED(OUT4, 80);
	PASSES(OUT4, 443);
	PASSES(OUT4B, 80);
	REFUSED(OUT6, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), EHOSTUNREACH);
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), 0);
	REFUSED(PRIVATE4, 80);
	set_policy(&w, 0, CX_EGRESS_DENY, 0, RULES("198.51.100.0/24", "2001:db8::/64"));
	REFUSED(OUT4, 443);
	REFUSED(OUT6, 80);
	PASSES(ALLOWED4, 80);
	set_policy(&w, 0, CX_EGRESS_DENY, 0, RULES("2001:db8::/64 udp"));
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), EACCES);
	PASSES(OUT6, 80);
}
END_TEST

START_TEST(a_policy_is_of_one_sandbox)
{
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	PASSES(OUT4, 80);
	ck_assert_int_eq(dial(&w, B, OUT4, 80, NULL), ECONNREFUSED);
	set_policy(&w, 1, CX_EGRESS_ALLOW, 0, RULES("198.51.100.2/32"));
	ck_assert_int_eq(dial(&w, B, OUT4B, 80, NULL), 0);
	ck_assert_int_eq(dial(&w, B, OUT4, 80, NULL), ECONNREFUSED);
	PASSES(OUT4, 80);
}
END_TEST

/* ---- changes --------------------------------------------------------------------------------- */

/* An open connection of A to a port of OUT4; *ret_far is the other end. */
static int open_flow(unsigned port, int *ret_far)
{
	int fd = -EBADF;

	ck_assert_int_eq(dial(&w, A, OUT4, port, &fd), 0);
	*ret_far = take_newest(port == 80 ? web : web443);
	ck_assert(passes(fd, *ret_far));
	ck_assert(passes(*ret_far, fd));
	return fd;
}

static bool is_reset(int fd)
{
	char c = 'x';

	(void)!send(fd, &c, 1, MSG_NOSIGNAL);
	return is_ready(fd, POLLIN, COMES_MS) && recv(fd, &c, 1, MSG_DONTWAIT) < 0 &&
	       errno == ECONNRESET;
}

START_TEST(what_stays_allowed_goes_on_and_the_rest_is_cut)
{
	int far80, far443, near80, near443;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	near80 = open_flow(80, &far80);
	near443 = open_flow(443, &far443);
	for (int i = 0; i < 39; i++) { /* more than are remembered: each packet moves it on */
		set_policy(&w, 0, i % 2 == 0 ? CX_EGRESS_DENY : CX_EGRESS_ALL, 0,
			   RULES("198.51.100.1/32 tcp 443"));
		if (i % 4 < 2)
			ck_assert(passes(far80, near80)); /* first seen from outside */
		ck_assert(passes(near80, far80));
		ck_assert(passes(far80, near80));
		if (i == 0) {
			ck_assert(is_cut(far443, near443));
			ck_assert(is_reset(near443));
		}
	}
	REFUSED(OUT4, 443);
}
END_TEST

START_TEST(going_offline_cuts_all)
{
	int far, near;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	near = open_flow(80, &far);
	set_policy(&w, 0, CX_EGRESS_NONE, 0, NULL);
	ck_assert(is_reset(near));
	ck_assert(is_cut(far, near));
}
END_TEST

START_TEST(a_flow_that_sleeps_through_too_much_is_refused)
{
	int far, near;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	near = open_flow(80, &far);
	for (int i = 0; i < 17; i++)
		set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	ck_assert(is_reset(near));
	ck_assert(is_cut(far, near));
}
END_TEST

/* Nothing is waited for where no name's address can still come. */
START_TEST(a_list_without_names_refuses_at_once)
{
	int far, near;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	near = open_flow(80, &far);
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("198.51.100.1/32 tcp 443"));
	ck_assert(is_reset(near));
}
END_TEST

START_TEST(a_restart_keeps_what_is_in_force)
{
	uint32_t first = set_policy(&w, 0, CX_EGRESS_ALLOW, 7, RULES("198.51.100.1/32 tcp 80")),
		 again;
	int far, near = open_flow(80, &far);

	again = set_policy(&w, 0, CX_EGRESS_ALLOW, 7,
			   RULES("198.51.100.1/32 tcp 80-90", "2001:db8::/64"));
	ck_assert_uint_gt(again, first);
	cx_firewall_close(w.fw, false);
	PASSES(OUT4, 80);
	REFUSED(OUT4, 443);
	enter(&w, HOME);
	open_firewall(&w);
	ck_assert_uint_eq(cx_firewall_number(w.fw, 0), again);
	ck_assert_uint_eq(cx_firewall_number(w.fw, 1), 0);
	ck_assert(passes(far, near));
	PASSES(OUT4, 80);
	PASSES(OUT6, 80);
	REFUSED(OUT4, 443);
	ck_assert_uint_gt(set_policy(&w, 1, CX_EGRESS_ALL, 7, NULL), again);
	/* The parts and the link are known, or taking them out would fail, or leave them. */
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("198.51.100.2/32"));
	REFUSED(OUT6, 80);
	PASSES(OUT4B, 80);
	ck_assert(is_reset(near) || is_cut(near, far));
}
END_TEST

START_TEST(a_number_is_not_given_again)
{
	struct cx_err err = { 0 };
	uint32_t number = set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);

	ck_assert_int_eq(cx_firewall_forget(w.fw, 0, &err), 0);
	cx_firewall_close(w.fw, false);
	enter(&w, HOME);
	open_firewall(&w);
	ck_assert_uint_gt(set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL), number);
}
END_TEST

START_TEST(a_slot_that_is_given_again_has_nothing_of_before)
{
	struct cx_err err = { 0 };
	int far, near;

	set_policy(&w, 0, CX_EGRESS_ALLOW, 3, RULES("198.51.100.1/32", "0.0.0.0/0 udp 5-9"));
	set_policy(&w, 0, CX_EGRESS_ALL, 3, NULL);
	near = open_flow(80, &far);
	ck_assert_int_eq(cx_firewall_forget(w.fw, 0, &err), 0);
	ck_assert_int_eq(cx_firewall_forget(w.fw, 0, &err), 0);
	ck_assert_uint_eq(cx_firewall_number(w.fw, 0), 0);
	REFUSED(OUT4, 80);
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	ck_assert(is_cut(far, near));
	run(&w, ROUTER,
	    "! nft list ruleset | grep -E 'elements = .*s0. (\\.|:) 0x0000000[12][^0-9]'");
	PASSES(OUT4, 80);
}
END_TEST

/* ---- names ----------------------------------------------------------------------------------- */

static int permit(uint32_t number, const char *to, uint32_t ttl_s, uint16_t low, uint16_t high)
{
	const struct cx_port_range ports = { low, high };
	struct cx_permit p = { .number = number,
			       .family = strchr(to, ':') != NULL ? 6 : 4,
			       .ttl_s = ttl_s,
			       .ports = &ports,
			       .nports = low != 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(inet_pton(p.family == 6 ? AF_INET6 : AF_INET, to, p.address), 1);
	return cx_firewall_permit(w.fw, &p, &err) == 0 ? 0 : (int)err.kind;
}

START_TEST(an_address_of_a_name_is_permitted)
{
	int other6 = serve(&w, OUT, "::", 8443, SOCK_STREAM);
	uint32_t n = set_names(&w, 0, NULL);

	REFUSED(OUT4, 80);
	ck_assert_int_eq(permit(n, OUT4, 60, 80, 81), 0);
	ck_assert_int_eq(permit(n, OUT4, 60, 80, 81), 0); /* renewed */
	PASSES(OUT4, 80);
	ck_assert_int_eq(ask(&w, A, OUT4, 80, udp, 10), 0);
	REFUSED(OUT4, 443);
	ck_assert_int_eq(permit(n, OUT4, 60, 0, 0), 0);
	PASSES(OUT4, 443);
	ck_assert_int_eq(echo(&w, OUT4), 0);
	REFUSED(OUT6, 80);
	ck_assert_int_eq(permit(n, OUT6, 60, 80, 80), 0);
	PASSES(OUT6, 80);
	ck_assert_int_eq(ask(&w, A, OUT6, 80, udp6, 10), 0);
	REFUSED(OUT6, 8443);
	ck_assert_int_eq(permit(n, OUT6, 60, 0, 0), 0);
	PASSES(OUT6, 8443);
	cx_close(&other6);
	ck_assert_int_eq(permit(n, PRIVATE4, 60, 0, 0), 0);
	REFUSED(PRIVATE4, 80); /* a name does not make it public */
	ck_assert_int_eq(permit(n + 1, OUT4B, 60, 0, 0), CX_CONFLICT);
	ck_assert_int_eq(permit(n, OUT4B, 0, 0, 0), CX_INVALID);
	ck_assert_int_eq(permit(n, OUT4B, 60, 2, 1), CX_INVALID);
	ck_assert_int_eq(permit(n, OUT4B, 60, 1, 65), CX_INVALID);
	n = set_policy(&w, 0, CX_EGRESS_ALLOW, 0, NULL);
	ck_assert_int_eq(permit(n, OUT4B, 60, 0, 0), CX_DENIED); /* it has no names */
	n = set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	ck_assert_int_eq(permit(n, OUT4B, 60, 0, 0), CX_DENIED);
}
END_TEST

START_TEST(a_permit_ends_but_not_what_is_open)
{
	uint32_t n = set_names(&w, 0, NULL);
	int far, near;

	ck_assert_int_eq(permit(n, OUT4, 1, 80, 80), 0);
	ck_assert_int_eq(permit(n, OUT4, 1, 0, 0), 0);
	ck_assert_int_eq(permit(n, OUT4B, 1, 80, 80), 0);
	ck_assert_int_eq(permit(n, OUT4B, 60, 80, 80), 0);
	near = open_flow(80, &far);
	ck_assert_int_eq(usleep(1300000), 0);
	REFUSED(OUT4, 80);
	PASSES(OUT4B, 80);
	ck_assert(passes(near, far));
	ck_assert(passes(far, near));
}
END_TEST

START_TEST(names_have_time_to_be_permitted_anew)
{
	uint32_t n = set_names(&w, 0, NULL);
	int far, near;

	ck_assert_int_eq(permit(n, OUT4, 60, 80, 80), 0);
	near = open_flow(80, &far);
	n = set_names(&w, 0, NULL);
	ck_assert_int_eq(send(near, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert(!is_ready(far, POLLIN, SILENT_MS));
	REFUSED(OUT4, 80); /* only what is open waits */
	ck_assert_int_eq(permit(n, OUT4, 60, 80, 80), 0);
	ck_assert(is_ready(far, POLLIN, 3000)); /* sent once more */
	ck_assert(passes(far, near));
}
END_TEST

START_TEST(names_are_permitted_after_a_restart)
{
	uint32_t n = set_names(&w, 0, RULES("198.51.100.2/32 tcp 80"));

	cx_firewall_close(w.fw, false);
	enter(&w, HOME);
	open_firewall(&w);
	REFUSED(OUT4, 80);
	ck_assert_int_eq(permit(n, OUT4, 60, 80, 80), 0);
	PASSES(OUT4, 80);
	PASSES(OUT4B, 80);
	REFUSED(OUT4B, 443);
}
END_TEST

START_TEST(addresses_of_names_are_bounded)
{
	uint32_t n = set_names(&w, 0, NULL);

	for (unsigned i = 0; i < CX_PERMITS_MAX; i += 64)
		ck_assert_int_eq(permit(n, OUT4, 60, (uint16_t)(i + 1), (uint16_t)(i + 64)), 0);
	ck_assert_int_eq(permit(n, OUT4B, 60, 0, 0), CX_LIMIT);
	ck_assert_int_eq(permit(n, OUT4, 60, 1, 64), 0);
}
END_TEST

/* ---- other sandboxes ------------------------------------------------------------------------- */

START_TEST(sandboxes_meet_in_the_same_network_only)
{
	int server = serve(&w, B, "0.0.0.0", 80, SOCK_STREAM), near = -EBADF, far;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	set_policy(&w, 1, CX_EGRESS_ALL, 0, NULL);
	REFUSED(B4, 80);
	set_policy(&w, 0, CX_EGRESS_NONE, 1, NULL);
	REFUSED(B4, 80);
	set_policy(&w, 1, CX_EGRESS_NONE, 2, NULL);
	REFUSED(B4, 80);
	set_policy(&w, 1, CX_EGRESS_NONE, 1, NULL);
	ck_assert_int_eq(dial(&w, A, B4, 80, &near), 0);
	far = take_newest(server);
	ck_assert(passes(near, far));
	ck_assert(passes(far, near));
	set_policy(&w, 1, CX_EGRESS_ALL, 1, NULL);
	ck_assert(passes(far, near));
	set_policy(&w, 1, CX_EGRESS_ALL, 2, NULL);
	ck_assert(is_cut(far, near));
	ck_assert(is_reset(near));
	cx_close(&server);
}
END_TEST

/* ---- what is not the sandbox's to say -------------------------------------------------------- */

START_TEST(a_source_is_its_own)
{
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	set_policy(&w, 1, CX_EGRESS_ALL, 0, NULL);
	send_raw(&w, A4, OUT4, 80);
	ck_assert(is_ready(udp, POLLIN, COMES_MS));
	ck_assert_int_gt(recv(udp, (char[64]){ 0 }, 64, 0), 0);
	send_raw(&w, B4, OUT4, 80);
	send_raw(&w, "100.96.9.9", OUT4, 80);
	send_raw(&w, "169.254.9.1", OUT4, 80);
	send_raw(&w, GATEWAY4, OUT4, 80);
	send_raw(&w, OUT4B, OUT4, 80);
	ck_assert(!is_ready(udp, POLLIN, SILENT_MS));
	send_raw(&w, B4, GATEWAY4, 53);
	ck_assert(!is_ready(dns, POLLIN, SILENT_MS));
}
END_TEST

/* What reaches the host from the router, whether its own rules take it or not. */
static int listen_on_wire(void)
{
	int sock;

	enter(&w, HOME);
	sock = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	ck_assert_int_ge(sock, 0);
	return sock;
}

static bool comes_from(int wire, const char *source)
{
	in_addr_t wanted = inet_addr(source), found;
	uint8_t packet[64];

	while (is_ready(wire, POLLIN, SILENT_MS)) {
		if (recv(wire, packet, sizeof packet, 0) < 20)
			continue;
		memcpy(&found, packet + 12, sizeof found);
		if (found == wanted)
			return true;
	}
	return false;
}

START_TEST(the_router_is_closed_but_for_the_resolver)
{
	int other = serve(&w, ROUTER, "0.0.0.0", 54, SOCK_STREAM);
	int outer = serve(&w, ROUTER, "169.254.9.1", 53, SOCK_STREAM);
	struct address a = address(OUT4, 80), d = address(GATEWAY4, 53);
	int wire = listen_on_wire(), inside;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	REFUSED(GATEWAY4, 54);
	REFUSED("169.254.9.1", 53);
	ck_assert(is_silent(&w, HOME, "169.254.9.1", 53));
	/* Names are for sandboxes. */
	run(&w, HOME, "ip route add " GATEWAY4 " via 169.254.9.1");
	inside = make_socket(&w, HOME, GATEWAY4, SOCK_DGRAM);
	(void)!sendto(inside, "x", 1, 0, (struct sockaddr *)&d.sa, d.len);
	ck_assert(!is_ready(dns, POLLIN, SILENT_MS));
	/* Who has the resolver's socket does not get out by it. */
	(void)!sendto(dns, "x", 1, 0, (struct sockaddr *)&a.sa, a.len);
	ck_assert(!is_ready(udp, POLLIN, SILENT_MS));
	ck_assert(!comes_from(wire, GATEWAY4));
	cx_close(&wire);
	cx_close(&inside);
	cx_close(&other);
	cx_close(&outer);
}
END_TEST

START_TEST(nobody_outside_opens_a_flow)
{
	int server = serve(&w, A, "0.0.0.0", 80, SOCK_STREAM);

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	run(&w, HOME, "ip route add 100.96.0.0/16 via 169.254.9.1");
	ck_assert(is_silent(&w, HOME, A4, 80));
	run(&w, OUT,
	    "ip route add 100.96.0.0/16 via 203.0.113.1 && "
	    "ip route add 169.254.9.0/31 via 203.0.113.1");
	ck_assert(is_silent(&w, OUT, A4, 80));
	ck_assert(is_silent(&w, OUT, "169.254.9.1", 80));
	cx_close(&server);
}
END_TEST

/* The kernel keeps no flow of neighbour discovery, and rules about flows do not see it. */
START_TEST(what_is_of_no_flow_is_dropped)
{
	const uint8_t solicitation[24] = { 135 };
	struct address a = address(A6, 0);
	cx_autofd int near = -EBADF, far = -EBADF;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	run(&w, HOME, "ip route add fd77::/64 via fd99::1");
	enter(&w, A);
	near = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	enter(&w, HOME);
	far = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	ck_assert_int_eq(
		sendto(far, solicitation, sizeof solicitation, 0, (struct sockaddr *)&a.sa, a.len),
		sizeof solicitation);
	ck_assert(!is_ready(near, POLLIN, SILENT_MS));
}
END_TEST

/* ---- the host -------------------------------------------------------------------------------- */

START_TEST(the_host_is_reached_by_its_services_only)
{
	int ssh = serve(&w, HOME, "0.0.0.0", 22, SOCK_STREAM);
	int service = serve(&w, HOME, "0.0.0.0", 8080, SOCK_STREAM);
	int ssh6 = serve(&w, HOME, "::", 22, SOCK_STREAM);
	int service6 = serve(&w, HOME, "::", 8080, SOCK_STREAM);

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	REFUSED(HOST4, 22);
	REFUSED("169.254.9.0", 22);
	REFUSED(HOST6, 22);
	PASSES(HOST4, 8080);
	PASSES(HOST6, 8080);
	REFUSED(HOST4, 8081);
	/* Those of the host itself and of its other networks stay as they were. */
	ck_assert_int_eq(dial(&w, OUT, HOST4, 22, NULL), 0);
	ck_assert_int_eq(dial(&w, HOME, "127.0.0.1", 22, NULL), 0);
	cx_close(&ssh);
	cx_close(&service);
	cx_close(&ssh6);
	cx_close(&service6);
}
END_TEST

START_TEST(outside_sees_the_address_of_the_host)
{
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof peer;
	int far;

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	(void)open_flow(80, &far);
	ck_assert_int_eq(getpeername(far, (struct sockaddr *)&peer, &len), 0);
	ck_assert_str_eq(inet_ntoa(peer.sin_addr), HOST4);
}
END_TEST

static bool arrives(int from, const char *to, unsigned port, int server)
{
	struct address a = address(to, port);
	cx_autofd int fd = make_socket(&w, from, to, SOCK_DGRAM);

	(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&a.sa, a.len);
	return is_ready(server, POLLIN, 2 * SILENT_MS);
}

/* A router whose own rules are gone, as if somebody had got into it. */
START_TEST(the_host_forwards_for_the_router_only)
{
	int inside = serve(&w, A, A4, 80, SOCK_DGRAM),
	    names = serve(&w, HOME, HOST4, 53, SOCK_DGRAM);

	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	ck_assert(arrives(A, OUT6, 80, udp6));
	(void)!recv(udp6, (char[8]){ 0 }, 8, 0);
	run(&w, ROUTER, "nft flush ruleset");
	run(&w, HOME, "ip route add 100.96.0.0/16 via 169.254.9.1");
	run(&w, OUT, "ip route add 100.96.0.0/16 via 203.0.113.1");
	ck_assert(!arrives(A, OUT4, 80, udp));
	ck_assert(!arrives(A, OUT6, 80, udp6));
	ck_assert(!arrives(A, HOST4, 53, names));
	ck_assert(!arrives(OUT, A4, 80, inside));
	cx_close(&inside);
	cx_close(&names);
}
END_TEST

START_TEST(removal_leaves_no_rule)
{
	run(&w, HOME, "nft list table inet caisson-test >/dev/null");
	cx_firewall_close(w.fw, true);
	run(&w, HOME, "test -z \"$(nft list tables)\"");
	enter(&w, HOME);
	open_firewall(&w);
}
END_TEST

/* ---- denials --------------------------------------------------------------------------------- */

struct denial {
	uint32_t index, mark;
	uint8_t family;
	char why[32];
	uint8_t packet[CX_FIREWALL_LOG_BYTES];
};

static int take_attribute(const struct nlattr *a, void *arg)
{
	struct denial *ret = arg;
	size_t len = mnl_attr_get_payload_len(a);

	switch (mnl_attr_get_type(a)) {
	case NFULA_IFINDEX_INDEV:
		ret->index = ntohl(mnl_attr_get_u32(a));
		break;
	case NFULA_MARK:
		ret->mark = ntohl(mnl_attr_get_u32(a));
		break;
	case NFULA_PREFIX:
		ck_assert_uint_lt(len, sizeof ret->why);
		memcpy(ret->why, mnl_attr_get_payload(a), len);
		break;
	case NFULA_PAYLOAD:
		ck_assert_uint_le(len, sizeof ret->packet);
		memcpy(ret->packet, mnl_attr_get_payload(a), len);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

/* All that were told until now. */
static unsigned take_denials(int fd, struct denial *out, unsigned max)
{
	static char buf[65536];
	unsigned n = 0;

	while (is_ready(fd, POLLIN, 2 * SILENT_MS)) {
		int len = (int)recv(fd, buf, sizeof buf, 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)(void *)buf;

		for (; mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
			const struct nfgenmsg *group = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type == NLMSG_DONE)
				continue;
			ck_assert_uint_lt(n, max);
			out[n] = (struct denial){ .family = group->nfgen_family };
			ck_assert_int_ge(mnl_attr_parse(h, sizeof *group, take_attribute, &out[n]),
					 0);
			n++;
		}
	}
	return n;
}

START_TEST(refusals_are_told)
{
	static struct denial got[256];
	struct cx_err err = { 0 };
	cx_autofd int fd = cx_firewall_listen(w.fw, &err);
	uint32_t number, a = inet_addr(A4);
	static const char *const expected[] = { "policy", "private", "peer",
						"host",	  "source",  "policy" };

	ck_assert_msg(fd >= 0, "%s", err.msg);
	number = set_policy(&w, 0, CX_EGRESS_ALLOW, 0, NULL);
	REFUSED(OUT4, 80);
	REFUSED(PRIVATE4, 80);
	REFUSED(B4, 80);
	REFUSED(GATEWAY4, 54);
	send_raw(&w, B4, OUT4, 80);
	REFUSED(OUT6, 80);
	ck_assert_uint_eq(take_denials(fd, got, CX_LEN(got)), CX_LEN(expected));
	for (size_t i = 0; i < CX_LEN(expected); i++) {
		ck_assert_str_eq(got[i].why, expected[i]);
		ck_assert_uint_eq(got[i].index, CX_ROUTER_LINK_INDEX);
		ck_assert_uint_eq(got[i].mark, number);
		ck_assert_uint_eq(got[i].family, i == 5 ? AF_INET6 : AF_INET);
	}
	ck_assert_mem_eq(got[0].packet + 12, &a, 4);
	for (int i = 0; i < 200; i++)
		send_raw(&w, A4, OUT4, 80);
	ck_assert_uint_lt(take_denials(fd, got, CX_LEN(got)), 100);
	ck_assert_int_lt(cx_firewall_listen(w.fw, &err), 0); /* one at a time */
}
END_TEST

START_TEST(too_many_connections_are_told)
{
	static struct denial got[16];
	struct cx_err err = { 0 };
	cx_autofd int fd = -EBADF;
	int near = -EBADF;

	reopen(&w, 1, 100000);
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL);
	fd = cx_firewall_listen(w.fw, &err);
	ck_assert_int_eq(dial(&w, A, OUT4, 80, &near), 0);
	REFUSED(OUT4, 80);
	ck_assert_uint_eq(take_denials(fd, got, CX_LEN(got)), 1);
	ck_assert_str_eq(got[0].why, "connections");
}
END_TEST

/* ---- refusals of ours ------------------------------------------------------------------------ */

START_TEST(a_ruleset_that_nft_does_not_take_is_an_error)
{
	const struct cx_netrule twice = { .family = 4, .prefix = 99 };
	struct cx_firewall *fw = NULL;
	struct cx_err err = { 0 };

	w.plan.allowed = &twice;
	w.plan.nallowed = 1;
	enter(&w, HOME);
	ck_assert_int_lt(cx_firewall_open(&w.plan, &fw, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	ck_assert_ptr_null(fw);
	set_policy(&w, 0, CX_EGRESS_ALL, 0, NULL); /* what was there is as it was */
	PASSES(OUT4, 80);
}
END_TEST

START_TEST(slots_are_checked)
{
	const struct cx_firewall_policy policy = { .mode = CX_EGRESS_ALL };
	struct cx_err err = { 0 };
	uint32_t number;

	ck_assert_int_lt(cx_firewall_set(w.fw, 16, &policy, &number, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_lt(cx_firewall_forget(w.fw, 16, &err), 0);
	ck_assert_uint_eq(cx_firewall_number(w.fw, 16), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/firewall");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, without_a_policy_there_is_the_resolver_and_nothing_else);
	tcase_add_test(tc, none_is_services_only);
	tcase_add_test(tc, all_is_what_is_not_private);
	tcase_add_test(tc, fragments_are_judged_as_a_whole);
	tcase_add_test(tc, a_list_allows_what_it_says);
	tcase_add_test(tc, a_list_denies_what_it_says);
	tcase_add_test(tc, a_policy_is_of_one_sandbox);
	tcase_add_test(tc, what_stays_allowed_goes_on_and_the_rest_is_cut);
	tcase_add_test(tc, going_offline_cuts_all);
	tcase_add_test(tc, a_list_without_names_refuses_at_once);
	tcase_add_test(tc, a_flow_that_sleeps_through_too_much_is_refused);
	tcase_add_test(tc, a_restart_keeps_what_is_in_force);
	tcase_add_test(tc, a_number_is_not_given_again);
	tcase_add_test(tc, a_slot_that_is_given_again_has_nothing_of_before);
	tcase_add_test(tc, an_address_of_a_name_is_permitted);
	tcase_add_test(tc, a_permit_ends_but_not_what_is_open);
	tcase_add_test(tc, names_have_time_to_be_permitted_anew);
	tcase_add_test(tc, names_are_permitted_after_a_restart);
	tcase_add_test(tc, addresses_of_names_are_bounded);
	tcase_add_test(tc, sandboxes_meet_in_the_same_network_only);
	tcase_add_test(tc, a_source_is_its_own);
	tcase_add_test(tc, the_router_is_closed_but_for_the_resolver);
	tcase_add_test(tc, nobody_outside_opens_a_flow);
	tcase_add_test(tc, what_is_of_no_flow_is_dropped);
	tcase_add_test(tc, the_host_is_reached_by_its_services_only);
	tcase_add_test(tc, outside_sees_the_address_of_the_host);
	tcase_add_test(tc, the_host_forwards_for_the_router_only);
	tcase_add_test(tc, removal_leaves_no_rule);
	tcase_add_test(tc, refusals_are_told);
	tcase_add_test(tc, too_many_connections_are_told);
	tcase_add_test(tc, a_ruleset_that_nft_does_not_take_is_an_error);
	tcase_add_test(tc, slots_are_checked);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
