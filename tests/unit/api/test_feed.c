/* SPDX-License-Identifier: Apache-2.0 */
/* A file that grows comes out of a pipe whole and in order, however it grows and is read. */
#include "api/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "check_main.h"

enum { BYTES = 5 << 20, PIECE = 300001, TURN_MS = 20 };

static struct cx_loop loop;
static struct cx_feed *feed;
static struct cx_timer timer;
static struct cx_err err;
static int file = -EBADF, reader = -EBADF;
static char sent[BYTES], got[BYTES + 1];
static size_t have, received;
static bool ended;

static void begin(void)
{
	char path[] = "/tmp/caisson-feed.XXXXXX";

	(void)signal(SIGPIPE, SIG_IGN);
	file = mkostemp(path, O_CLOEXEC);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(unlink(path), 0);
	for (size_t i = 0; i < BYTES; i++)
		sent[i] = (char)(i * 2654435761U >> 13);
	have = received = 0;
	ended = false;
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_feed_new(&loop, file, &reader, &feed, &err), 0);
}

static void end(void)
{
	cx_feed_free(feed);
	cx_timer_clear(&timer);
	cx_loop_close(&loop);
	cx_close(&reader);
	cx_close(&file);
}

static void stop(struct cx_timer *t)
{
	(void)t;
	loop.stop = true;
}

static void turn(void)
{
	loop.stop = false;
	timer.fire = stop;
	cx_timer_set(&loop, &timer, TURN_MS);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
}

static void grow(size_t bytes, bool last)
{
	ck_assert_int_eq(cx_write_all(file, sent + have, bytes, &err), 0);
	have += bytes;
	cx_feed_grown(feed, have, last);
}

/* Whatever is there, without waiting. */
static void drain(void)
{
	ck_assert_int_eq(cx_set_nonblock(reader, true, &err), 0);
	for (;;) {
		ssize_t n = read(reader, got + received, sizeof got - received);

		ended = n == 0;
		if (n <= 0)
			break;
		received += (size_t)n;
	}
}

START_TEST(all_of_it_comes)
{
	while (have < BYTES) {
		size_t left = BYTES - have, piece = left < PIECE ? left : PIECE;

		grow(piece, piece == left);
		if (_i == 1 || have % 3 == 0) /* the reader keeps up, or falls behind */
			drain();
	}
	for (unsigned i = 0; i < 50 && !ended; i++) {
		turn();
		drain();
	}
	ck_assert(ended);
	ck_assert_uint_eq(received, BYTES);
	ck_assert_mem_eq(got, sent, BYTES);
}
END_TEST

START_TEST(no_end_before_the_end)
{
	grow(10, false);
	turn();
	drain();
	ck_assert_uint_eq(received, 10);
	ck_assert(!ended);
	cx_feed_grown(feed, have, true); /* as many as before, but all */
	turn();
	drain();
	ck_assert(ended);
	ck_assert_uint_eq(received, 10);
}
END_TEST

START_TEST(reader_that_goes)
{
	grow(BYTES / 2, false);
	cx_close(&reader);
	turn();
	grow(BYTES / 2, true); /* no harm */
	turn();
}
END_TEST

START_TEST(owner_that_goes)
{
	grow(BYTES / 2, _i == 1);
	cx_feed_free(cx_take_ptr(&feed));
	turn();
	drain();
	ck_assert(ended);
	ck_assert_uint_lt(received, BYTES / 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("feed");
	TCase *tc = tcase_create("feed");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, all_of_it_comes, 0, 2);
	tcase_add_test(tc, no_end_before_the_end);
	tcase_add_test(tc, reader_that_goes);
	tcase_add_loop_test(tc, owner_that_goes, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
