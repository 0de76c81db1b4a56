/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/denials.h"

#include "check_main.h"

static struct {
	unsigned n;
	uint32_t slot, count;
} heard;

static void tell(void *arg, const struct cx_msg_denied *m)
{
	(void)arg;
	heard.n++;
	heard.slot = m->slot;
	heard.count = m->count;
}

static struct cx_denials denials = { .tell = tell };

START_TEST(counted)
{
	struct cx_guest guest = { .slot = 5 };
	struct cx_refusal refusal = { .protocol = 6, .port = 443, .to = { .len = 4 } };

	for (unsigned i = 0; i < 10; i++)
		cx_denials_packet(&denials, &guest, &refusal, 1000);
	ck_assert_uint_eq(heard.n, 1);
	ck_assert_uint_eq(heard.count, 1);
	cx_denials_tick(&denials, 1000 + CX_DENIALS_SAME_MS - 1);
	ck_assert_uint_eq(heard.n, 1);
	cx_denials_tick(&denials, 1000 + CX_DENIALS_SAME_MS);
	ck_assert_uint_eq(heard.n, 2);
	ck_assert_uint_eq(heard.count, 9);
	cx_denials_tick(&denials, 1000 + 2 * CX_DENIALS_SAME_MS);
	ck_assert_uint_eq(heard.n, 2); /* nothing more to tell, and forgotten */
	guest.generation++;
	cx_denials_packet(&denials, &guest, &refusal, 20000);
	ck_assert_uint_eq(heard.n, 3);
}
END_TEST

START_TEST(limited)
{
	struct cx_guest one = { .slot = 1 }, two = { .slot = 2 };
	char name[] = "aaa.com";

	for (char c = 'a'; c <= 'z'; c++) {
		name[0] = c;
		for (name[1] = 'a'; name[1] <= 'z'; name[1]++)
			cx_denials_name(&denials, &one, name, "policy", 1000);
	}
	ck_assert_uint_eq(heard.n, CX_DENIALS_AT_ONCE);
	cx_denials_name(&denials, &two, name, "policy", 1000);
	ck_assert_uint_eq(heard.n, CX_DENIALS_AT_ONCE + 1);
	ck_assert_uint_eq(heard.slot, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/denials");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, counted);
	tcase_add_test(tc, limited);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
