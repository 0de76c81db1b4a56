/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/demand.h"

#include "check_main.h"

static struct cx_demand demand;

/* So many creates at once, with all blanks ready. */
static void burst(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cx_demand_asked(&demand, i < demand.target ? demand.target - i : 0);
}

START_TEST(a_configured_number_is_kept)
{
	cx_demand_open(&demand, 7, 7);
	burst(100);
	ck_assert_uint_eq(demand.target, 7);
	ck_assert(!cx_demand_period(&demand));
	ck_assert_uint_eq(demand.target, 7);
}
END_TEST

START_TEST(none_is_none)
{
	cx_demand_open(&demand, 0, 0);
	burst(3);
	ck_assert(!cx_demand_period(&demand));
	ck_assert_uint_eq(demand.target, 0);
}
END_TEST

START_TEST(grows_by_those_that_found_none)
{
	cx_demand_open(&demand, 4, 64);
	burst(4);
	ck_assert_uint_eq(demand.target, 4);
	for (unsigned i = 0; i < 6; i++)
		cx_demand_asked(&demand, 0);
	ck_assert_uint_eq(demand.target, 10);
	for (unsigned i = 0; i < 1000; i++)
		cx_demand_asked(&demand, 0);
	ck_assert_uint_eq(demand.target, 64);
}
END_TEST

START_TEST(shrinks_when_nobody_asks_and_then_rests)
{
	unsigned periods = 0, before;

	cx_demand_open(&demand, 4, 64);
	for (unsigned i = 0; i < 60; i++)
		cx_demand_asked(&demand, 0);
	ck_assert_uint_eq(demand.target, 64);
	ck_assert(cx_demand_period(&demand)); /* all had been needed in this one */
	ck_assert_uint_eq(demand.target, 64);
	do {
		before = demand.target;
		periods++;
	} while (cx_demand_period(&demand) && demand.target < before);
	ck_assert_uint_eq(demand.target, 4);
	ck_assert_uint_le(periods, 5);
}
END_TEST

START_TEST(keeps_what_is_needed_again_and_again)
{
	cx_demand_open(&demand, 4, 64);
	for (unsigned i = 0; i < 60; i++)
		cx_demand_asked(&demand, 0);
	(void)cx_demand_period(&demand);
	for (unsigned i = 0; i < 20; i++) {
		burst(20);
		(void)cx_demand_period(&demand);
	}
	ck_assert_uint_eq(demand.target, 20);
}
END_TEST

START_TEST(memory_bounds_it)
{
	const uint64_t gib = (uint64_t)1 << 30;

	ck_assert_uint_eq(cx_demand_most(0), CX_DEMAND_MIN);
	ck_assert_uint_eq(cx_demand_most(gib), gib / CX_DEMAND_MEMORY_PART / CX_BLANK_BYTES);
	ck_assert_uint_eq(cx_demand_most(1024 * gib), CX_DEMAND_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/demand");
	TCase *tc = tcase_create("demand");

	tcase_add_test(tc, a_configured_number_is_kept);
	tcase_add_test(tc, none_is_none);
	tcase_add_test(tc, grows_by_those_that_found_none);
	tcase_add_test(tc, shrinks_when_nobody_asks_and_then_rests);
	tcase_add_test(tc, keeps_what_is_needed_again_and_again);
	tcase_add_test(tc, memory_bounds_it);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
