/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of rule: what it lets through, and that nothing of it stays. */
#include "fwworld.h"
#include "proto/control_msgs.h"

static struct world w;
static int web, web443, web6, udp, udp6; /* servers in OUT, on port 80 but for one */

static void set_up(void)
{
	make_world(&w);
	web = serve(&w, OUT, "0.0.0.0", 80, SOCK_STREAM);
	web443 = serve(&w, OUT, "0.0.0.0", 443, SOCK_STREAM);
	web6 = serve(&w, OUT, "::", 80, SOCK_STREAM);
	udp = serve(&w, OUT, OUT4, 80, SOCK_DGRAM);
	udp6 = serve(&w, OUT, OUT6, 80, SOCK_DGRAM);
}

static void tear_down(void)
{
	cx_firewall_close(w.fw, true);
	cx_close(&web);
	cx_close(&web443);
	cx_close(&web6);
}

enum { WEB = 1, WEB443 = 2, OTHER = 4, UDP = 8, WEB6 = 16, UDP6 = 32, PING = 64, EVERYTHING = 127 };

static unsigned what_passes(void)
{
	return (dial(&w, A, OUT4, 80, NULL) == 0 ? WEB : 0) |
	       (dial(&w, A, OUT4, 443, NULL) == 0 ? WEB443 : 0) |
	       (dial(&w, A, OUT4B, 80, NULL) == 0 ? OTHER : 0) |
	       (ask(&w, A, OUT4, 80, udp, 10) == 0 ? UDP : 0) |
	       (dial(&w, A, OUT6, 80, NULL) == 0 ? WEB6 : 0) |
	       (ask(&w, A, OUT6, 80, udp6, 10) == 0 ? UDP6 : 0) | (echo(&w, OUT4) == 0 ? PING : 0);
}

static const struct {
	const char *rules[4];
	unsigned passes;
} kinds[] = {
	{ { "198.51.100.1/32" }, WEB | WEB443 | UDP | PING },
	{ { "198.51.100.1/32 tcp 80" }, WEB },
	{ { "198.51.100.1/32 tcp 79" }, 0 },
	{ { "198.51.100.1/32 udp 80" }, UDP },
	{ { "198.51.100.1/32 tcp" }, WEB | WEB443 },
	{ { "198.51.100.1/32 tcp 80-443" }, WEB | WEB443 },
	{ { "198.51.100.1/32 tcp 81-443" }, WEB443 },
	{ { "198.51.100.1/32 tcp 1-79", "198.51.100.1/32 tcp 444-65535" }, 0 },
	{ { "198.51.100.2/31 tcp 80-80" }, OTHER },
	{ { "198.51.100.0/30 tcp 64-127" }, WEB | OTHER },
	{ { "198.51.100.0/31 tcp 80", "198.51.100.0/24 udp 80" }, WEB | UDP },
	{ { "198.0.0.0/7", "198.51.100.1/32 tcp 443" }, WEB | WEB443 | OTHER | UDP | PING },
	{ { "198.51.96.0/20" }, WEB | WEB443 | OTHER | UDP | PING },
	{ { "0.0.0.0/0 tcp 80", "198.51.100.1/32 tcp 443" }, WEB | WEB443 | OTHER },
	{ { "0.0.0.0/0 udp", "198.51.100.2/32" }, UDP | OTHER },
	{ { "198.51.101.0/24", "198.51.96.0/22", "2001:db9::/32" }, 0 },
	{ { "2001:db8::1/128" }, WEB6 | UDP6 },
	{ { "2001:db8::1/128 tcp 80" }, WEB6 },
	{ { "2001:db8::/125 udp 80-81" }, UDP6 },
	{ { "2001:db8::/33 tcp", "::/0 udp 81" }, WEB6 },
	{ { "::/0" }, WEB6 | UDP6 },
	{ { "2001:db0::/28 udp" }, UDP6 },
	{ { "2001:db8::2/127", "2001:db8:8000::/33" }, 0 },
};

static void check_kinds(enum cx_egress mode)
{
	run(&w, ROUTER,
	    "echo 0 >/proc/sys/net/ipv4/icmp_ratemask && echo 0 "
	    ">/proc/sys/net/ipv6/icmp/ratelimit");
	for (size_t i = 0; i < CX_LEN(kinds); i++) {
		unsigned expected = kinds[i].passes ^ (mode == CX_EGRESS_DENY ? EVERYTHING : 0);
		unsigned passes;

		set_policy(&w, 0, mode, 0, kinds[i].rules);
		passes = what_passes();
		ck_assert_msg(passes == expected, "%s: 0x%x passes, not 0x%x", kinds[i].rules[0],
			      passes, expected);
	}
}

START_TEST(each_kind_of_rule_allows_what_it_says)
{
	check_kinds(CX_EGRESS_ALLOW);
}
END_TEST

START_TEST(each_kind_of_rule_denies_what_it_says)
{
	check_kinds(CX_EGRESS_DENY);
}
END_TEST

/* Nothing of any sandbox but the last number. */
static void has_no_elements(void)
{
	run(&w, ROUTER,
	    "! nft list ruleset | awk '$1 == \"map\" || $1 == \"set\" { name = $2 } "
	    "/elements = / { print name }' | grep -vE "
	    "'^(numbers|packets|fragments|queries|logged|settling)$'");
	run(&w, ROUTER, "nft list map inet caisson numbers | grep -q '^.*elements = { [^,]*}$'");
}

START_TEST(no_element_is_left)
{
	struct cx_err err = { 0 };

	for (size_t i = 0; i < CX_LEN(kinds); i++)
		set_policy(&w, (uint32_t)i % 3, i % 2 == 0 ? CX_EGRESS_ALLOW : CX_EGRESS_DENY, 1,
			   kinds[i].rules);
	for (uint32_t slot = 0; slot < 3; slot++)
		ck_assert_int_eq(cx_firewall_forget(w.fw, slot, &err), 0);
	has_no_elements();
}
END_TEST

/* Another caissond knows all that the first has put there, or it could not take it out. */
START_TEST(no_element_is_left_of_an_earlier_start)
{
	struct cx_err err = { 0 };

	for (uint32_t i = 0; i < CX_LEN(kinds); i++)
		if (i < w.plan.slots)
			set_policy(&w, i, i % 2 == 0 ? CX_EGRESS_ALLOW : CX_EGRESS_DENY, 1,
				   kinds[i].rules);
	set_policy(&w, 0, CX_EGRESS_DENY, 0, RULES("198.51.100.1/32 tcp 443"));
	cx_firewall_close(w.fw, false);
	enter(&w, HOME);
	open_firewall(&w);
	PASSES(OUT4, 80);
	REFUSED(OUT4, 443);
	for (uint32_t slot = 0; slot < w.plan.slots; slot++) {
		if (slot % 2 == 1)
			set_policy(&w, slot, CX_EGRESS_ALLOW, 0, kinds[slot].rules);
		ck_assert_int_eq(cx_firewall_forget(w.fw, slot, &err), 0);
	}
	has_no_elements();
}
END_TEST

START_TEST(too_long_a_list_changes_nothing)
{
	static struct cx_netrule rules[CX_NETRULES_MAX];
	const struct cx_firewall_policy policy = { .mode = CX_EGRESS_ALLOW,
						   .rules = rules,
						   .nrules = CX_LEN(rules) };
	struct cx_err err = { 0 };
	uint32_t number;

	for (unsigned i = 0; i < CX_LEN(rules); i++)
		rules[i] = (struct cx_netrule){ .family = 4,
						.prefix = 29,
						.address = { 20, (uint8_t)(i >> 8), (uint8_t)i } };
	set_policy(&w, 0, CX_EGRESS_ALLOW, 0, RULES("198.51.100.1/32"));
	ck_assert_int_lt(cx_firewall_set(w.fw, 0, &policy, &number, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	PASSES(OUT4, 80);
	for (unsigned i = 0; i < CX_LEN(rules); i++)
		rules[i].prefix = 30; /* the longest that is taken */
	rules[0] = rule_of("198.51.100.2/32");
	ck_assert_int_eq(cx_firewall_set(w.fw, 0, &policy, &number, &err), 0);
	REFUSED(OUT4, 80);
	PASSES(OUT4B, 80);
	ck_assert_int_eq(cx_firewall_forget(w.fw, 0, &err), 0);
	has_no_elements();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/fwlists");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, each_kind_of_rule_allows_what_it_says);
	tcase_add_test(tc, each_kind_of_rule_denies_what_it_says);
	tcase_add_test(tc, no_element_is_left);
	tcase_add_test(tc, no_element_is_left_of_an_earlier_start);
	tcase_add_test(tc, too_long_a_list_changes_nothing);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
