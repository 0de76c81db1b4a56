/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses slots and uplinks have. */
#include <arpa/inet.h>
#include <string.h>

#include "check_main.h"

#include "net/slots.h"
#include "net/uplink.h"

static struct cx_slots_plan pool(const char *four, uint8_t prefix4, const char *six)
{
	struct cx_slots_plan plan = { .prefix4 = prefix4, .prefix6 = six != NULL ? 64 : 0 };

	ck_assert_int_eq(inet_pton(AF_INET, four, &plan.pool4), 1);
	if (six != NULL)
		ck_assert_int_eq(inet_pton(AF_INET6, six, &plan.pool6), 1);
	return plan;
}

static void check_slot(const struct cx_slots_plan *plan, uint32_t slot, const char *four,
		       const char *six)
{
	struct in_addr a4;
	struct in6_addr a6;
	char text[INET6_ADDRSTRLEN];

	cx_slots_addresses(plan, slot, &a4, &a6);
	ck_assert_str_eq(inet_ntop(AF_INET, &a4, text, sizeof text), four);
	ck_assert_str_eq(inet_ntop(AF_INET6, &a6, text, sizeof text), six);
}

START_TEST(slots_have_addresses_of_the_pool)
{
	struct cx_slots_plan both = pool("100.96.0.0", 16, "fd00:1:2:3::");
	struct cx_slots_plan four = pool("10.1.2.248", 29, NULL);

	check_slot(&both, 0, "100.96.0.1", "fd00:1:2:3::1");
	check_slot(&both, 255, "100.96.1.0", "fd00:1:2:3::100");
	check_slot(&both, 65533, "100.96.255.254", "fd00:1:2:3::fffe");
	check_slot(&four, 5, "10.1.2.254", "::");
}
END_TEST

START_TEST(first_and_last_address_are_left_out)
{
	struct cx_slots_plan plan = pool("100.96.0.0", 16, NULL);

	ck_assert_uint_eq(cx_slots_capacity(&plan), 65534);
	plan.prefix4 = 30;
	ck_assert_uint_eq(cx_slots_capacity(&plan), 2);
	plan.prefix4 = 8;
	ck_assert_uint_eq(cx_slots_capacity(&plan), CX_SLOTS_MAX);
}
END_TEST

START_TEST(uplinks_have_pairs_of_link_local_addresses)
{
	struct in_addr host, inside;

	for (unsigned i = 0; i < CX_UPLINK_PAIRS; i++) {
		cx_uplink_addresses("fffffffe", i, &host, &inside);
		ck_assert_uint_eq(ntohl(host.s_addr) & ~0x1fffU, 0xa9fec000);
		ck_assert_uint_eq(ntohl(host.s_addr) % 2, 0);
		ck_assert_uint_eq(ntohl(inside.s_addr), ntohl(host.s_addr) + 1);
	}
	cx_uplink_addresses("00000003", 0, &host, &inside);
	ck_assert_uint_eq(ntohl(host.s_addr), 0xa9fec006);
	cx_uplink_addresses("fffffffe", 2, &host, &inside); /* behind the last comes the first */
	ck_assert_uint_eq(ntohl(host.s_addr), 0xa9fec000);
}
END_TEST

START_TEST(texts_are_addresses_of_their_family)
{
	struct cx_ip four = cx_ip_of(CX_ROUTER_GATEWAY4), six = cx_ip_of(CX_ROUTER_HOP6);
	struct cx_ip none = cx_ip_of("169.254.1.256");

	ck_assert_int_eq(four.family, AF_INET);
	ck_assert_uint_eq(ntohl(four.v4.s_addr), 0xa9fe0101);
	ck_assert_int_eq(six.family, AF_INET6);
	ck_assert_int_eq(six.v6.s6_addr[15], 1);
	ck_assert_int_eq(none.family, AF_UNSPEC);
	ck_assert_int_eq(cx_ip_size(&four), 4);
	ck_assert_int_eq(cx_ip_size(&six), 16);
	ck_assert_int_eq(cx_ip_size(&none), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("addresses");
	TCase *tc = tcase_create("addresses");

	tcase_add_test(tc, slots_have_addresses_of_the_pool);
	tcase_add_test(tc, first_and_last_address_are_left_out);
	tcase_add_test(tc, uplinks_have_pairs_of_link_local_addresses);
	tcase_add_test(tc, texts_are_addresses_of_their_family);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
