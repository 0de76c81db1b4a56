/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/address.h"

#include <arpa/inet.h>

#include "check_main.h"

static struct cx_address of(const char *text)
{
	struct cx_address a = { .len = strchr(text, ':') != NULL ? 16 : 4 };

	ck_assert_int_eq(inet_pton(a.len == 4 ? AF_INET : AF_INET6, text, a.bytes), 1);
	return a;
}

static const struct {
	const char *text;
	bool private;
} addresses[] = {
	{ "8.8.8.8", false },	     { "9.255.255.255", false },   { "10.0.0.0", true },
	{ "10.255.255.255", true },  { "11.0.0.0", false },	   { "100.63.255.255", false },
	{ "100.64.0.0", true },	     { "100.127.255.255", true },  { "100.128.0.0", false },
	{ "127.0.0.1", true },	     { "169.254.169.254", true },  { "172.15.255.255", false },
	{ "172.16.0.0", true },	     { "172.31.255.255", true },   { "172.32.0.0", false },
	{ "192.168.0.0", true },     { "192.169.0.0", false },	   { "198.17.255.255", false },
	{ "198.19.255.255", true },  { "223.255.255.255", false }, { "224.0.0.1", true },
	{ "255.255.255.255", true }, { "0.0.0.0", true },	   { "::1", true },
	{ "::10.0.0.1", true },	     { "::ffff:8.8.8.8", true },   { "64:ff9b::808:808", true },
	{ "64:ff9b:1::1", true },    { "2001::1", true },	   { "2001:4860::1", false },
	{ "2001:db8::1", true },     { "2002:a00:1::", true },	   { "2606:4700::1111", false },
	{ "fc00::", true },	     { "fdff::", true },	   { "fe00::", false },
	{ "fe80::1", true },	     { "febf::1", true },	   { "fec0::1", true },
	{ "ff02::1", true },
};

START_TEST(private)
{
	struct cx_address a = of(addresses[_i].text);

	ck_assert_msg(cx_address_is_private(&a) == addresses[_i].private, "%s", addresses[_i].text);
}
END_TEST

START_TEST(offset)
{
	struct cx_address base = of("100.96.0.1"), base6 = of("fd00::ffff:fff0"), a;
	uint32_t slot = 99;

	a = of("100.96.0.1");
	ck_assert(cx_address_offset(&a, &base, 4, &slot) && slot == 0);
	a = of("100.96.0.4");
	ck_assert(cx_address_offset(&a, &base, 4, &slot) && slot == 3);
	a = of("100.96.0.5");
	ck_assert(!cx_address_offset(&a, &base, 4, &slot));
	a = of("100.96.0.0");
	ck_assert(!cx_address_offset(&a, &base, 4, &slot));
	a = of("fd00::ffff:fff2");
	ck_assert(cx_address_offset(&a, &base6, 4, &slot) && slot == 2);
	ck_assert(!cx_address_offset(&a, &base, 4, &slot));
	a = of("fd00::1:ffff:fff2");
	ck_assert(!cx_address_offset(&a, &base6, 4, &slot));
	ck_assert(!cx_address_offset(&a, &(struct cx_address){ 0 }, 4, &slot));
}
END_TEST

START_TEST(sockets)
{
	struct cx_address a = of("1.2.3.4"), b = of("2606::1"), got;
	struct sockaddr_in6 sa;

	ck_assert_uint_eq(cx_address_to_socket(&a, 53, &sa), sizeof(struct sockaddr_in));
	ck_assert(cx_address_of_socket(&sa, &got) && cx_address_equal(&a, &got));
	ck_assert_uint_eq(cx_address_to_socket(&b, 53, &sa), sizeof sa);
	ck_assert(cx_address_of_socket(&sa, &got) && cx_address_equal(&b, &got));
	sa.sin6_addr = (struct in6_addr){ .s6_addr = { [10] = 0xff, 0xff, 1, 2, 3, 4 } };
	ck_assert(cx_address_of_socket(&sa, &got) && cx_address_equal(&a, &got));
	sa.sin6_family = AF_UNIX;
	ck_assert(!cx_address_of_socket(&sa, &got));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/address");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, private, 0, CX_LEN(addresses));
	tcase_add_test(tc, offset);
	tcase_add_test(tc, sockets);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
