/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/nameservers.h"

#include <arpa/inet.h>
#include <string.h>

#include "check_main.h"

static void check(const struct sockaddr_in6 *at, const char *address, unsigned port)
{
	char text[INET6_ADDRSTRLEN];

	ck_assert_ptr_nonnull(inet_ntop(AF_INET6, &at->sin6_addr, text, sizeof text));
	ck_assert_str_eq(text, address);
	ck_assert_uint_eq(ntohs(at->sin6_port), port);
	ck_assert_uint_eq(at->sin6_family, AF_INET6);
}

static const struct {
	const char *text, *address; /* NULL: refused */
	unsigned port;
} settings[] = {
	{ "127.0.0.53", "::ffff:127.0.0.53", 53 },
	{ "9.9.9.9:5353", "::ffff:9.9.9.9", 5353 },
	{ "2620:fe::9", "2620:fe::9", 53 },
	{ "[2620:fe::9]", "2620:fe::9", 53 },
	{ "[2620:fe::9]:5353", "2620:fe::9", 5353 },
	{ "", NULL, 0 },
	{ "dns.example", NULL, 0 },
	{ "9.9.9.9:", NULL, 0 },
	{ "9.9.9.9:0", NULL, 0 },
	{ "9.9.9.9:65536", NULL, 0 },
	{ "[2620:fe::9", NULL, 0 },
	{ "[2620:fe::9]5", NULL, 0 },
	{ "[]", NULL, 0 },
	{ ":53", NULL, 0 },
};

START_TEST(setting)
{
	struct sockaddr_in6 at;
	struct cx_err err;
	int r = cx_nameserver_parse(settings[_i].text, &at, &err);

	ck_assert_msg((r == 0) == (settings[_i].address != NULL), "%s", settings[_i].text);
	if (r == 0)
		check(&at, settings[_i].address, settings[_i].port);
}
END_TEST

START_TEST(resolv_conf)
{
	struct sockaddr_in6 at[CX_NAMESERVERS_MAX];

	ck_assert_uint_eq(cx_nameservers_of("", at), 0);
	ck_assert_uint_eq(cx_nameservers_of("# nameserver 1.1.1.1\nsearch a.b\n"
					    "nameserver\t127.0.0.53 # stub\r\n"
					    "nameserver fe80::1%eth0\nnameservers 2.2.2.2\n"
					    "nameserver x\nnameserver\noptions edns0\n"
					    " nameserver 2620:fe::9",
					    at),
			  2);
	check(&at[0], "::ffff:127.0.0.53", 53);
	check(&at[1], "2620:fe::9", 53);
	ck_assert_uint_eq(cx_nameservers_of("nameserver 1.1.1.1\nnameserver 1.1.1.2\n"
					    "nameserver 1.1.1.3\nnameserver 1.1.1.4\n"
					    "nameserver 1.1.1.5\nnameserver 1.1.1.6\n"
					    "nameserver 1.1.1.7\nnameserver 1.1.1.8\n"
					    "nameserver 1.1.1.9\n",
					    at),
			  CX_NAMESERVERS_MAX);
	check(&at[7], "::ffff:1.1.1.8", 53);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/nameservers");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, setting, 0, CX_LEN(settings));
	tcase_add_test(tc, resolv_conf);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
