/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lifetime.h"

#include "check_main.h"

/* Times in ms; a row for each thing that may be so at a moment. */
static const struct {
	double idle_minutes;
	int64_t expires, active, paused, now;
	enum cx_lifetime is;
	int64_t next;
} moments[] = {
	{ 0, 0, 1000, 0, 999999999, CX_LIFETIME_GOES_ON, 0 }, /* neither was asked for */
	{ 0, 70000, 1000, 0, 1000, CX_LIFETIME_GOES_ON, 60000 },
	{ 0, 70000, 1000, 0, 69999, CX_LIFETIME_GOES_ON, 1 },
	{ 0, 70000, 1000, 0, 70000, CX_LIFETIME_OVER, 0 },
	{ 0, 70000, 69999, 0, 90000, CX_LIFETIME_OVER, 0 },   /* however it was used */
	{ 0, 70000, 1000, 2000, 70000, CX_LIFETIME_OVER, 0 }, /* and paused */
	{ 1, 0, 1000, 0, 60999, CX_LIFETIME_GOES_ON, 1 },
	{ 1, 0, 1000, 0, 61000, CX_LIFETIME_IDLE, 0 },
	{ 1, 0, 1000, 2000, 61000, CX_LIFETIME_GOES_ON, 0 }, /* not while it is paused */
	{ 1, 62000, 1000, 2000, 61000, CX_LIFETIME_GOES_ON, 1000 },
	{ 0.5, 40000, 1000, 0, 31000, CX_LIFETIME_IDLE, 0 },
	{ 0.5, 40000, 1000, 0, 2000, CX_LIFETIME_GOES_ON, 29000 },
	{ 0.5, 20000, 1000, 0, 2000, CX_LIFETIME_GOES_ON, 18000 },
	{ 1, 5000, 1000, 0, 99999, CX_LIFETIME_OVER, 0 }, /* of both, the lifetime is told */
};

START_TEST(every_moment)
{
	struct cx_sandbox_row row = { .idle_timeout_minutes = moments[_i].idle_minutes,
				      .expires_ms = moments[_i].expires,
				      .active_ms = moments[_i].active,
				      .paused_ms = moments[_i].paused };
	int64_t next = -1;

	ck_assert_int_eq(cx_lifetime_at(&row, moments[_i].now, &next), moments[_i].is);
	ck_assert_int_eq(next, moments[_i].next);
}
END_TEST

START_TEST(idle_end)
{
	struct cx_sandbox_row row = { .active_ms = 500 };

	ck_assert_int_eq(cx_lifetime_idle_end(&row), 0);
	row.idle_timeout_minutes = 2;
	ck_assert_int_eq(cx_lifetime_idle_end(&row), 120500);
	row.paused_ms = 700;
	ck_assert_int_eq(cx_lifetime_idle_end(&row), 0);
	row.paused_ms = row.active_ms = 0; /* it has not begun */
	ck_assert_int_eq(cx_lifetime_idle_end(&row), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifetime");
	TCase *tc = tcase_create("moments");

	tcase_add_loop_test(tc, every_moment, 0, CX_LEN(moments));
	tcase_add_test(tc, idle_end);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
