/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "check_main.h"

#include "api/leftover.h"
#include "base/fd.h"

static struct cx_loop loop;
static struct cx_leftovers all;
static struct cx_timer timer;
static struct cx_err err;

static void stop(struct cx_timer *fired)
{
	(void)fired;
	loop.stop = true;
}

static void run_for(unsigned ms)
{
	loop.stop = false;
	timer.fire = stop;
	cx_timer_set(&loop, &timer, ms);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
}

static void set_up(void)
{
	all = (struct cx_leftovers){ 0 };
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
}

static void tear_down(void)
{
	ck_assert_uint_eq(all.n, 0);
	cx_loop_close(&loop);
}

static int leave(int *writes)
{
	int reads = -EBADF;

	ck_assert_int_eq(cx_pipe(&reads, writes, &err), 0);
	ck_assert_int_eq(cx_set_nonblock(reads, true, &err), 0);
	ck_assert_int_eq(cx_set_nonblock(*writes, true, &err), 0);
	return reads;
}

static size_t fill(int fd)
{
	static const char page[4096];
	size_t all_bytes = 0;
	ssize_t n;

	while ((n = write(fd, page, sizeof page)) > 0)
		all_bytes += (size_t)n;
	return all_bytes;
}

START_TEST(whoever_writes_lives_on)
{
	int writes = -EBADF, reads = leave(&writes);

	cx_leftover_keep(&all, &loop, reads);
	cx_close(&reads);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_gt(fill(writes), 0);
		run_for(2 * CX_LEFTOVER_PAUSE_MS + 20);
	}
	ck_assert_uint_eq(all.n, 1);
	cx_close(&writes);
	run_for(2 * CX_LEFTOVER_PAUSE_MS);
}
END_TEST

/* Somebody who writes without end gets a piece at a time, and we get to do other things. */
START_TEST(a_flood_is_slow)
{
	int writes = -EBADF, reads = leave(&writes);
	size_t bytes = 0;

	cx_leftover_keep(&all, &loop, reads);
	cx_close(&reads);
	for (unsigned i = 0; i < 100; i++) {
		bytes += fill(writes);
		run_for(2);
	}
	ck_assert_uint_gt(bytes, CX_LEFTOVER_PIECE);
	ck_assert_uint_lt(bytes, 40 * CX_LEFTOVER_PIECE);
	cx_close(&writes);
	run_for(200);
}
END_TEST

START_TEST(what_nobody_holds_is_not_kept)
{
	int writes = -EBADF, reads = leave(&writes);

	cx_close(&writes);
	cx_leftover_keep(&all, &loop, reads);
	ck_assert_uint_eq(all.n, 0);
	cx_close(&reads);
}
END_TEST

START_TEST(there_is_an_upper_bound)
{
	int writes = -EBADF, reads = leave(&writes);

	all.n = CX_LEFTOVER_MAX;
	cx_leftover_keep(&all, &loop, reads);
	ck_assert_ptr_null(all.first);
	all.n = 0;
	cx_close(&reads);
	cx_close(&writes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/leftover");
	TCase *all_of_it = tcase_create("leftover");

	tcase_add_checked_fixture(all_of_it, set_up, tear_down);
	tcase_add_test(all_of_it, whoever_writes_lives_on);
	tcase_add_test(all_of_it, a_flood_is_slow);
	tcase_add_test(all_of_it, what_nobody_holds_is_not_kept);
	tcase_add_test(all_of_it, there_is_an_upper_bound);
	suite_add_tcase(suite, all_of_it);
	return run_suite(suite);
}
