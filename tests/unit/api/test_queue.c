/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in line where. What the gateway asks, and when, is for
 * tests/integration/test_admission.py. */
#include "api/box.h"

#include "check_main.h"

enum { BOXES = 8, PLACES = 8 };

static struct cx_loop loop;
static struct cx_gateway gw;
static struct cx_box boxes[BOXES];
static char ann[] = "ann", bob[] = "bob", eve[] = "eve";
static struct cx_err err;

static void setup(void)
{
	gw = (struct cx_gateway){ .loop = &loop };
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	cx_queue_open(&gw, PLACES, 60000);
	for (unsigned i = 0; i < BOXES; i++) {
		boxes[i] = (struct cx_box){ .gw = &gw,
					    .next = gw.boxes,
					    .row = { .row = i + 1, .queued_ms = cx_wall_ms() } };
		gw.boxes = &boxes[i];
	}
}

static void teardown(void)
{
	cx_timer_clear(&gw.queue.timer);
	cx_loop_close(&loop);
}

static void enter(unsigned i, char *owner)
{
	boxes[i].row.user_id = owner;
	cx_queue_enter(&boxes[i]);
}

/* In the order of the text: "021" is boxes 0, 2, 1. */
static void expect(const char *order)
{
	unsigned position = 0;

	for (const char *c = order; *c != '\0'; c++)
		ck_assert_msg(cx_queue_position(&gw, &boxes[*c - '0'].row) == ++position,
			      "box %c is at %u, not %u of %s", *c,
			      cx_queue_position(&gw, &boxes[*c - '0'].row), position, order);
	ck_assert_uint_eq(gw.queue.length, position);
}

START_TEST(owners_take_turns)
{
	enter(0, ann);
	enter(1, ann);
	enter(2, ann);
	expect("012");
	enter(3, bob);
	expect("0312");
	enter(4, eve);
	enter(5, bob);
	expect("034152");
}
END_TEST

START_TEST(who_comes_later_does_not_catch_up)
{
	enter(0, ann);
	enter(1, ann);
	gw.queue.turn = boxes[1].place.turn; /* so many rounds are over */
	cx_queue_leave(&boxes[0]);
	enter(2, bob);
	expect("12");
}
END_TEST

START_TEST(leaving_closes_the_gap)
{
	enter(0, ann);
	enter(1, bob);
	enter(2, eve);
	cx_queue_leave(&boxes[1]);
	cx_queue_leave(&boxes[1]);
	expect("02");
	ck_assert_uint_eq(cx_queue_position(&gw, &boxes[1].row), 0);
	cx_queue_leave(&boxes[0]);
	cx_queue_leave(&boxes[2]);
	expect("");
}
END_TEST

START_TEST(a_restart_makes_the_same_line)
{
	for (int i = 5; i >= 0; i--) { /* records come newest first */
		boxes[i].row.user_id = i == 3 ? bob : i == 4 ? eve : i == 5 ? bob : ann;
		cx_queue_adopt(&boxes[i]);
	}
	cx_queue_adopted(&gw);
	expect("034152");
}
END_TEST

/* ann has her share; two are left for others, and bob takes them. */
static void expect_two_places(void)
{
	ck_assert_int_lt(cx_queue_check(&gw, ann, &err), 0);
	ck_assert_int_eq(err.kind, CX_BUSY);
	ck_assert_int_eq(cx_queue_check(&gw, bob, &err), 0);
	enter(6, bob);
	enter(7, bob);
	ck_assert_int_lt(cx_queue_check(&gw, eve, &err), 0);
}

START_TEST(places_are_bounded_for_all_and_for_each)
{
	for (unsigned i = 0; i < PLACES * 3 / 4; i++) {
		ck_assert_int_eq(cx_queue_check(&gw, ann, &err), 0);
		enter(i, ann);
	}
	expect_two_places();
}
END_TEST

START_TEST(who_waits_for_an_image_has_a_place)
{
	for (unsigned i = 0; i < PLACES * 3 / 4; i++) {
		ck_assert_int_eq(cx_queue_check(&gw, ann, &err), 0);
		boxes[i].row.user_id = ann;
		boxes[i].promised = true;
		boxes[i].phase = CX_BOX_PULLING;
	}
	expect_two_places();
	boxes[0].phase = CX_BOX_RUNNING;
	ck_assert_int_eq(cx_queue_check(&gw, eve, &err), 0);
}
END_TEST

START_TEST(a_refusal_leaves_one_at_a_time_and_the_place)
{
	struct cx_err full;

	ck_assert(cx_queue_is_open(&gw));
	cx_queue_asked(&boxes[7]);
	ck_assert(cx_queue_is_open(&gw));
	enter(0, ann);
	enter(1, ann);
	ck_assert(!cx_queue_is_open(&gw)); /* nobody is asked for outside of the line */
	cx_queue_asked(&boxes[0]);
	(void)cx_refuse(&full, CX_BUSY, "full");
	cx_queue_answered(&boxes[0], &full);
	cx_queue_enter(&boxes[0]);
	expect("01");
	ck_assert_uint_eq(gw.queue.window, 1);
	cx_queue_asked(&boxes[0]);
	cx_queue_answered(&boxes[0], NULL);
	expect("1");
	ck_assert_uint_eq(gw.queue.window, 2);
	cx_queue_answered(&boxes[7], NULL);
	ck_assert_uint_eq(gw.queue.asking, 0);
	ck_assert_uint_eq(gw.queue.window, 4);
}
END_TEST

/* A shortage of the host's is over one day: it must not empty the line within seconds. */
START_TEST(who_is_in_line_waits_for_whatever_is_short)
{
	struct cx_err full;

	enter(0, ann);
	enter(1, ann);
	cx_queue_asked(&boxes[0]);
	(void)cx_refuse(&full, CX_LIMIT, "no room for another sandbox");
	ck_assert(cx_queue_is_not_yet(&boxes[0], &full));
	cx_queue_answered(&boxes[0], &full);
	expect("01");
	ck_assert_uint_eq(gw.queue.window, 1);
	ck_assert_str_eq(gw.queue.why.msg, full.msg);
	boxes[2].row.queued_ms = 0; /* its client is told */
	ck_assert(!cx_queue_is_not_yet(&boxes[2], &full));
	(void)cx_refuse(&full, CX_INVALID, "more than there is");
	ck_assert(!cx_queue_is_not_yet(&boxes[0], &full));
}
END_TEST

/* Who was promised a sandbox is not failed by a caissond that is started anew. */
START_TEST(a_promise_outlives_caissond)
{
	struct cx_err stops;

	(void)cx_refuse(&stops, CX_UNAVAILABLE, "the engine is stopping");
	ck_assert(cx_queue_is_not_yet(&boxes[0], &stops));
	boxes[0].row.queued_ms = 0;
	ck_assert(!cx_queue_is_not_yet(&boxes[0], &stops));
	boxes[0].promised = true;
	ck_assert(cx_queue_is_not_yet(&boxes[0], &stops));
}
END_TEST

START_TEST(without_places_everybody_asks)
{
	cx_queue_open(&gw, 0, 1000);
	gw.queue.asking = 1000;
	ck_assert(cx_queue_is_open(&gw));
	ck_assert_int_lt(cx_queue_check(&gw, ann, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/queue");
	TCase *tc = tcase_create("line");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, owners_take_turns);
	tcase_add_test(tc, who_comes_later_does_not_catch_up);
	tcase_add_test(tc, leaving_closes_the_gap);
	tcase_add_test(tc, a_restart_makes_the_same_line);
	tcase_add_test(tc, places_are_bounded_for_all_and_for_each);
	tcase_add_test(tc, who_waits_for_an_image_has_a_place);
	tcase_add_test(tc, a_refusal_leaves_one_at_a_time_and_the_place);
	tcase_add_test(tc, who_is_in_line_waits_for_whatever_is_short);
	tcase_add_test(tc, a_promise_outlives_caissond);
	tcase_add_test(tc, without_places_everybody_asks);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
