/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/capacity.h"

#include <string.h>

#include "check_main.h"

static struct cx_err err;

/* Bounds for one resource only; everything else is free. */
static struct cx_capacity only(enum cx_resource i, uint64_t limit, uint64_t promised)
{
	struct cx_capacity c = { .on_disk = true, .files_each = 8, .files_blank = 12 };

	for (unsigned k = 0; k < CX_RESOURCE_MAX; k++)
		c.of[k].left = UINT64_MAX;
	c.of[i].limit = limit;
	c.of[i].promised = promised;
	return c;
}

static const struct cx_claim_plan plan = {
	.limits = { .cpu_milli = 500, .memory_bytes = 64 << 20, .pids = 100 },
	.disk = { .bytes = 32 << 20 },
};
static const uint64_t wanted[CX_RESOURCE_MAX] = {
	[CX_RESOURCE_SANDBOXES] = 1,	 [CX_RESOURCE_FILES] = 12,	[CX_RESOURCE_CPU] = 500,
	[CX_RESOURCE_MEMORY] = 64 << 20, [CX_RESOURCE_DISK] = 32 << 20, [CX_RESOURCE_PIDS] = 100,
};

START_TEST(a_limit_is_the_rest_times_the_factor)
{
	ck_assert_uint_eq(cx_capacity_limit(1000, 200, 1000), 800);
	ck_assert_uint_eq(cx_capacity_limit(1000, 200, 1500), 1200);
	ck_assert_uint_eq(cx_capacity_limit(1000, 200, 0), 0);
	ck_assert_uint_eq(cx_capacity_limit(100, 200, 1000), 1); /* a bound still */
	ck_assert_uint_eq(cx_capacity_limit((uint64_t)1 << 50, 0, 1000000),
			  ((uint64_t)1 << 50) * 1000);
}
END_TEST

/* Each resource alone: it fits to the last unit, not one beyond, and never when it is too much. */
START_TEST(every_resource_bounds)
{
	enum cx_resource i = (enum cx_resource)_i;
	struct cx_capacity c = only(i, 3 * wanted[i], 2 * wanted[i]);

	ck_assert_int_eq(cx_capacity_check(&c, &plan, &err), 0);
	c.of[i].promised++;
	ck_assert_int_lt(cx_capacity_check(&c, &plan, &err), 0);
	ck_assert_int_eq(err.kind, CX_BUSY);
	c.of[i].promised = UINT64_MAX;
	ck_assert_int_lt(cx_capacity_check(&c, &plan, &err), 0);
	ck_assert_int_eq(err.kind, CX_BUSY);
	c.of[i].limit = 0;
	ck_assert_int_eq(cx_capacity_check(&c, &plan, &err), 0);
	if (wanted[i] == 1)
		return;
	c = only(i, wanted[i] - 1, 0);
	ck_assert_int_lt(cx_capacity_check(&c, &plan, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

/* Who never fits is told so, however full the host is of something else, before and behind it. */
START_TEST(what_never_fits_does_not_wait)
{
	struct cx_capacity c = only(CX_RESOURCE_MEMORY, wanted[CX_RESOURCE_MEMORY] - 1, 0);

	c.of[CX_RESOURCE_SANDBOXES].limit = c.of[CX_RESOURCE_SANDBOXES].promised = 1;
	c.of[CX_RESOURCE_PIDS].reserve = UINT64_MAX;
	c.of[CX_RESOURCE_PIDS].left = 0;
	ck_assert_int_lt(cx_capacity_check(&c, &plan, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(the_floor_holds_without_a_bound)
{
	static const enum cx_resource floors[] = { CX_RESOURCE_MEMORY, CX_RESOURCE_PIDS };

	for (size_t i = 0; i < CX_LEN(floors); i++) {
		struct cx_capacity c = only(floors[i], 0, 0);

		c.of[floors[i]].reserve = 100;
		c.of[floors[i]].left = 100;
		ck_assert_int_eq(cx_capacity_check(&c, &plan, &err), 0);
		c.of[floors[i]].left = 99;
		ck_assert_int_lt(cx_capacity_check(&c, &plan, &err), 0);
		ck_assert_int_eq(err.kind, CX_BUSY);
	}
}
END_TEST

START_TEST(a_disk_in_memory_is_not_promised)
{
	struct cx_capacity c = only(CX_RESOURCE_DISK, 1, 0);
	struct cx_claim_plan p = plan;

	p.in_memory = true;
	ck_assert_int_eq(cx_capacity_check(&c, &p, &err), 0);
	c.on_disk = false;
	ck_assert_int_eq(cx_capacity_check(&c, &plan, &err), 0);
}
END_TEST

/* What the host has left is as old as it may be; what is promised is never old. */
START_TEST(a_look_is_good_for_a_while_and_far_from_the_reserve)
{
	enum { SEEN = 1000000 };
	struct cx_config config = { 0 };
	struct cx_host host = { .config = &config, .dirs = { .writable = -EBADF } };
	static struct cx_sandboxes set;
	struct cx_pool pool = { .set = &set };
	struct cx_capacity c = only(CX_RESOURCE_PIDS, 0, 0);
	uint64_t *left = &c.of[CX_RESOURCE_PIDS].left;

	set.promised = (struct cx_promises){ 1, 2, 3, 4 };
	set.count[CX_SANDBOX_BLANK] = 2;
	set.count[CX_SANDBOX_RUNNING] = 3;
	set.count[CX_SANDBOX_STARTING] = set.count[CX_SANDBOX_ENDING] = 1;
	set.count[CX_SANDBOX_REMAINS] = 1;
	cx_capacity_glance(&host, &pool, &c);
	ck_assert_uint_lt(*left, UINT64_MAX);
	ck_assert_uint_eq(c.of[CX_RESOURCE_CPU].promised, 1);
	ck_assert_uint_eq(c.of[CX_RESOURCE_MEMORY].promised, 2);
	ck_assert_uint_eq(c.of[CX_RESOURCE_PIDS].promised, 3);
	ck_assert_uint_eq(c.of[CX_RESOURCE_DISK].promised, 4);
	ck_assert_uint_eq(c.of[CX_RESOURCE_SANDBOXES].promised, 3);
	ck_assert_uint_eq(c.of[CX_RESOURCE_FILES].promised, 4 * 12 + 4 * 8);
	*left = SEEN;
	c.of[CX_RESOURCE_PIDS].reserve = SEEN / 2;
	c.looked_ms = cx_now_ms();
	set.promised.pids = 5;
	cx_capacity_glance(&host, &pool, &c);
	ck_assert_uint_eq(*left, SEEN);
	ck_assert_uint_eq(c.of[CX_RESOURCE_PIDS].promised, 5);
	c.of[CX_RESOURCE_PIDS].reserve++;
	cx_capacity_glance(&host, &pool, &c);
	ck_assert_uint_ne(*left, SEEN);
	*left = SEEN;
	c.of[CX_RESOURCE_PIDS].reserve = 0;
	c.looked_ms -= CX_CAPACITY_GOOD_MS;
	cx_capacity_glance(&host, &pool, &c);
	ck_assert_uint_ne(*left, SEEN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/capacity");
	TCase *tc = tcase_create("capacity");

	tcase_add_test(tc, a_limit_is_the_rest_times_the_factor);
	tcase_add_loop_test(tc, every_resource_bounds, 0, CX_RESOURCE_MAX);
	tcase_add_test(tc, what_never_fits_does_not_wait);
	tcase_add_test(tc, the_floor_holds_without_a_bound);
	tcase_add_test(tc, a_disk_in_memory_is_not_promised);
	tcase_add_test(tc, a_look_is_good_for_a_while_and_far_from_the_reserve);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
