/* SPDX-License-Identifier: Apache-2.0 */
#include "check_main.h"

#include "engine/config_net.h"

START_TEST(networks_are_taken)
{
	struct cx_netrule nets[3];
	struct cx_err err = { 0 };
	uint32_t n = 0;

	ck_assert_msg(cx_config_nets(" 10.0.0.0/8 ,fd00::/8", nets, 3, &n, &err) == 0, "%s",
		      err.msg);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(nets[0].family, 4);
	ck_assert_uint_eq(nets[0].prefix, 8);
	ck_assert_uint_eq(nets[0].address[0], 10);
	ck_assert_uint_eq(nets[1].family, 6);
	ck_assert_uint_eq(nets[1].address[0], 0xfd);
}
END_TEST

static const char *const bad_nets[] = {
	"",
	"10.0.0.0",
	"10.0.0.0/33",
	"10.0.0.1/8",
	"fd00::/129",
	"10.0.0.0/8,",
	"10.0.0.0/8 fd00::/8",
	"host/8",
	"/8",
	"1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8",
};

START_TEST(other_networks_are_refused)
{
	struct cx_netrule nets[3];
	struct cx_err err = { 0 };
	uint32_t n = 0;

	ck_assert_int_lt(cx_config_nets(bad_nets[_i], nets, 3, &n, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(services_are_taken)
{
	struct cx_service service;
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_config_service("pypi.mirror=10.1.2.3:3141", &service, &err), 0);
	ck_assert_str_eq(service.name, "pypi.mirror");
	ck_assert_uint_eq(service.family, 4);
	ck_assert_uint_eq(service.address[3], 3);
	ck_assert_uint_eq(service.port, 3141);
	ck_assert_int_eq(cx_config_service("a=[fd00::1]:80", &service, &err), 0);
	ck_assert_uint_eq(service.family, 6);
	ck_assert_uint_eq(service.address[15], 1);
}
END_TEST

static const char *const bad_services[] = {
	"a",	      "a=",	      "a=1.2.3.4",     "a=1.2.3.4:0",  "a=1.2.3.4:65536",
	"=1.2.3.4:1", "A=1.2.3.4:1",  "-a=1.2.3.4:1",  "a.=1.2.3.4:1", "a_b=1.2.3.4:1",
	"a=host:1",   "a=fd00::1:80", "a=[1.2.3.4]:1", "a=[]:1",       "a=:1",
};

START_TEST(other_services_are_refused)
{
	struct cx_service service;
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_config_service(bad_services[_i], &service, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/config_net");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, networks_are_taken);
	tcase_add_loop_test(tc, other_networks_are_refused, 0, CX_LEN(bad_nets));
	tcase_add_test(tc, services_are_taken);
	tcase_add_loop_test(tc, other_services_are_refused, 0, CX_LEN(bad_services));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
