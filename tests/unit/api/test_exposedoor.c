/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exposedoor.h"

#include <string.h>

#include "check_main.h"

static const struct {
	const char *host, *label;
} hosts[] = {
	{ "a1.apps.example", "a1" },
	{ "A1.Apps.EXAMPLE", "A1" },
	{ "a1.apps.example:443", "a1" },
	{ "a1.apps.example.", "a1" },
	{ "a1.apps.example.:8443", "a1" },
	{ "", "" },
	{ ".", "" },
	{ ":", "" },
	{ "apps.example", "" },
	{ ".apps.example", "" },
	{ "x.a1.apps.example", "" },
	{ "a1xapps.example", "" },
	{ "a1.apps.example.org", "" },
	{ "a1.apps.exampl", "" },
	{ "a1.apps.example..", "" },
	{ "[::1]:443", "" },
};

START_TEST(one_label_before_the_domain)
{
	struct cx_str label = cx_exposedoor_label("apps.example", cx_str_of(hosts[_i].host));

	ck_assert_uint_eq(label.len, strlen(hosts[_i].label));
	ck_assert(label.len == 0 || memcmp(label.p, hosts[_i].label, label.len) == 0);
}
END_TEST

START_TEST(no_host_at_all)
{
	ck_assert_uint_eq(cx_exposedoor_label("apps.example", (struct cx_str){ 0 }).len, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/exposedoor");
	TCase *tc = tcase_create("names");

	tcase_add_loop_test(tc, one_label_before_the_domain, 0, CX_LEN(hosts));
	tcase_add_test(tc, no_host_at_all);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
