/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check_main.h"

#include "base/buf.h"
#include "base/loop.h"

struct pal {
	struct cx_source src;
	struct cx_loop *loop;
	struct pal *other;
	int *freed;
};

static void pal_ready(struct cx_source *src, uint32_t events)
{
	struct pal *p = cx_container_of(src, struct pal, src);

	(void)events;
	/* Both are ready in one batch; whoever comes first drops both, one of them twice. */
	cx_loop_drop(p->loop, &p->other->src);
	cx_loop_drop(p->loop, &p->src);
	cx_loop_drop(p->loop, &p->src);
	p->loop->stop = true;
}

static void pal_destroy(struct cx_source *src)
{
	struct pal *p = cx_container_of(src, struct pal, src);

	(*p->freed)++;
	free(p);
}

START_TEST(drop_inside_a_batch)
{
	struct cx_loop loop;
	struct cx_err err;
	struct pal *p[2];
	int freed = 0;

	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	for (int i = 0; i < 2; i++) {
		p[i] = calloc(1, sizeof *p[i]);
		ck_assert_ptr_nonnull(p[i]);
		p[i]->src = (struct cx_source){ .fd = eventfd(1, EFD_CLOEXEC),
						.ready = pal_ready,
						.destroy = pal_destroy };
		p[i]->loop = &loop;
		p[i]->freed = &freed;
		ck_assert_int_eq(cx_loop_add(&loop, &p[i]->src, EPOLLIN, &err), 0);
	}
	p[0]->other = p[1];
	p[1]->other = p[0];
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	ck_assert_int_eq(freed, 2);
	cx_loop_close(&loop);
}
END_TEST

static void count_and_stop(struct cx_source *src, uint32_t events)
{
	struct pal *p = cx_container_of(src, struct pal, src);

	(void)events;
	(*p->freed)++;
	p->loop->stop = true;
}

/* Who borrows a descriptor leaves it open, and hears no more of it. */
START_TEST(a_borrowed_descriptor_stays_open)
{
	struct pal *guest = calloc(1, sizeof *guest), owner = { .src.ready = count_and_stop };
	int fd = eventfd(1, EFD_CLOEXEC), freed = 0, came = 0;
	struct cx_loop loop;
	struct cx_err err;
	uint64_t value;

	ck_assert_ptr_nonnull(guest);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	*guest = (struct pal){ .src = { .fd = fd, .ready = pal_ready, .destroy = pal_destroy },
			       .loop = &loop,
			       .freed = &freed };
	ck_assert_int_eq(cx_loop_add(&loop, &guest->src, EPOLLIN, &err), 0);
	cx_loop_leave(&loop, &guest->src);
	cx_loop_leave(&loop, &guest->src);
	owner.src.fd = fd;
	owner.loop = &loop;
	owner.freed = &came;
	ck_assert_int_eq(cx_loop_add(&loop, &owner.src, EPOLLIN, &err), 0);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	ck_assert_int_eq(came, 1);
	ck_assert_int_eq(freed, 1);
	ck_assert_int_eq(read(fd, &value, sizeof value), sizeof value);
	cx_loop_drop(&loop, &owner.src);
	cx_loop_close(&loop);
}
END_TEST

struct tick {
	struct cx_timer timer;
	struct cx_loop *loop;
	int id, *order, *n;
	struct tick *cancels;
};

static void tick_fire(struct cx_timer *timer)
{
	struct tick *t = cx_container_of(timer, struct tick, timer);

	t->order[(*t->n)++] = t->id;
	if (t->cancels != NULL)
		cx_timer_clear(&t->cancels->timer);
	if (t->id == 3)
		t->loop->stop = true;
}

START_TEST(timers_fire_in_order_and_can_be_cleared)
{
	struct cx_loop loop;
	struct cx_err err;
	int order[8], n = 0;
	struct tick t[4];

	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	for (int i = 0; i < 4; i++)
		t[i] = (struct tick){
			.timer.fire = tick_fire, .loop = &loop, .id = i, .order = order, .n = &n
		};
	cx_timer_set(&loop, &t[3].timer, 20);
	cx_timer_set(&loop, &t[1].timer, 5);
	cx_timer_set(&loop, &t[0].timer, 50);
	cx_timer_set(&loop, &t[2].timer, 10);
	cx_timer_set(&loop, &t[0].timer, 1); /* re-armed: earlier */
	t[1].cancels = &t[2];
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(order[0], 0);
	ck_assert_int_eq(order[1], 1);
	ck_assert_int_eq(order[2], 3);
	cx_timer_clear(&t[0].timer);
	cx_loop_close(&loop);
}
END_TEST

/* Armed, armed again and cleared in any order: the next one is always the one that is due first. */
START_TEST(the_next_timer_is_the_first_of_many)
{
	enum { TIMERS = 300, STEPS = 20000, SPAN_MS = 200 };
	static struct cx_timer timers[TIMERS];
	struct cx_loop loop = { .epfd = -EBADF };
	unsigned armed = 0, random = 12345;

	for (int step = 0; step < STEPS || armed > 0; step++) {
		const struct cx_timer *first = NULL;
		struct cx_timer *timer;

		random = random * 1103515245 + 12345;
		timer = &timers[(random >> 16) % TIMERS];
		if (step >= STEPS)
			timer = loop.timers;
		if (step < STEPS && (random >> 8) % 3 != 0)
			cx_timer_set(&loop, timer, 100000 + (random >> 10) % SPAN_MS);
		else
			cx_timer_clear(timer);
		armed = 0;
		for (int i = 0; i < TIMERS; i++) {
			const struct cx_timer *t = &timers[i];

			if (t->link == NULL)
				continue;
			armed++;
			if (first == NULL || t->due_ms < first->due_ms ||
			    (t->due_ms == first->due_ms && t->turn < first->turn))
				first = t;
		}
		ck_assert_ptr_eq(loop.timers, first);
	}
}
END_TEST

START_TEST(buffer_has_a_limit)
{
	struct cx_buf buf = { .max = 1000 };
	struct cx_err err;

	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(cx_buf_add(&buf, "0123456789", 10, &err), 0);
	ck_assert_int_lt(cx_buf_add(&buf, "x", 1, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	ck_assert_ptr_null(cx_buf_reserve(&buf, SIZE_MAX, &err));
	cx_buf_drop_front(&buf, 995);
	ck_assert_uint_eq(buf.len, 5);
	ck_assert_mem_eq(buf.p, "56789", 5);
	cx_buf_drop_front(&buf, 5);
	ck_assert_uint_eq(buf.len, 0);
	cx_buf_free(&buf);
	ck_assert_int_eq(cx_buf_add(&buf, "y", 1, &err), 0);
	cx_buf_free(&buf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/loop");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, drop_inside_a_batch);
	tcase_add_test(tc, a_borrowed_descriptor_stays_open);
	tcase_add_test(tc, timers_fire_in_order_and_can_be_cleared);
	tcase_add_test(tc, the_next_timer_is_the_first_of_many);
	tcase_add_test(tc, buffer_has_a_limit);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
