/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

uint64_t cx_now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t cx_now_ms(void)
{
	return cx_now_us() / 1000;
}

int64_t cx_wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int cx_loop_open(struct cx_loop *ret, struct cx_err *err)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	if (epfd < 0)
		return cx_fail(err, errno, "epoll_create1");
	*ret = (struct cx_loop){ .epfd = epfd };
	return 0;
}

static int control(struct cx_loop *loop, int op, struct cx_source *src, uint32_t events,
		   struct cx_err *err)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	if (epoll_ctl(loop->epfd, op, src->fd, &ev) < 0)
		return cx_fail(err, errno, "watch descriptor %d", src->fd);
	return 0;
}

int cx_loop_add(struct cx_loop *loop, struct cx_source *src, uint32_t events, struct cx_err *err)
{
	if (control(loop, EPOLL_CTL_ADD, src, events, err) < 0)
		return -err->errnum;
	src->added = true;
	src->dead = false;
	return 0;
}

int cx_loop_change(struct cx_loop *loop, struct cx_source *src, uint32_t events, struct cx_err *err)
{
	return control(loop, EPOLL_CTL_MOD, src, events, err);
}

/* True: it had not been done. */
static bool take_out(struct cx_loop *loop, struct cx_source *src)
{
	if (src->dead || !src->added)
		return false;
	src->dead = true;
	/* Not left to close(): a duplicate in another process would keep it in the set. */
	(void)epoll_ctl(loop->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	src->next_dead = loop->dead;
	loop->dead = src;
	return true;
}

void cx_loop_drop(struct cx_loop *loop, struct cx_source *src)
{
	if (take_out(loop, src))
		cx_close(&src->fd);
}

void cx_loop_leave(struct cx_loop *loop, struct cx_source *src)
{
	if (take_out(loop, src))
		src->fd = -EBADF;
}

static void bury(struct cx_loop *loop)
{
	while (loop->dead != NULL) {
		struct cx_source *src = loop->dead;

		loop->dead = src->next_dead;
		src->added = false;
		if (src->destroy != NULL)
			src->destroy(src);
	}
}

static bool is_before(const struct cx_timer *a, const struct cx_timer *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->turn < b->turn;
}

/* Two heaps, neither of which hangs anywhere, become one; either may be NULL. */
static struct cx_timer *meld(struct cx_timer *a, struct cx_timer *b)
{
	struct cx_timer *first = b == NULL || (a != NULL && is_before(a, b)) ? a : b;
	struct cx_timer *second = first == a ? b : a;

	if (second == NULL)
		return first;
	second->next = first->below;
	if (second->next != NULL)
		second->next->link = &second->next;
	second->link = &first->below;
	first->below = second;
	return first;
}

/* One heap of a row of heaps: each two neighbours, and then the pairs from the last one on. */
static struct cx_timer *meld_all(struct cx_timer *row)
{
	struct cx_timer *pairs = NULL, *heap = NULL;

	while (row != NULL) {
		struct cx_timer *a = row, *b = a->next, *pair;

		row = b != NULL ? b->next : NULL;
		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs != NULL) {
		struct cx_timer *pair = pairs;

		pairs = pair->next;
		heap = meld(heap, pair);
	}
	return heap;
}

/* Who hung below it was due later, and takes its place. */
void cx_timer_clear(struct cx_timer *timer)
{
	struct cx_timer *heir;

	if (timer->link == NULL)
		return;
	heir = meld_all(timer->below);
	if (heir != NULL) {
		heir->next = timer->next;
		heir->link = timer->link;
	}
	*timer->link = heir != NULL ? heir : timer->next;
	if (timer->next != NULL)
		timer->next->link = heir != NULL ? &heir->next : timer->link;
	timer->link = NULL;
}

void cx_timer_set(struct cx_loop *loop, struct cx_timer *timer, uint64_t after_ms)
{
	cx_timer_clear(timer);
	timer->due_ms = cx_now_ms() + after_ms;
	timer->turn = loop->turns++;
	timer->below = timer->next = NULL;
	loop->timers = meld(loop->timers, timer);
	loop->timers->next = NULL;
	loop->timers->link = &loop->timers;
}

static int until_next_timer(const struct cx_loop *loop)
{
	uint64_t now = cx_now_ms();

	if (loop->timers == NULL)
		return -1;
	if (loop->timers->due_ms <= now)
		return 0;
	return loop->timers->due_ms - now > 60000 ? 60000 : (int)(loop->timers->due_ms - now);
}

static void fire_timers(struct cx_loop *loop)
{
	uint64_t now = cx_now_ms();

	while (loop->timers != NULL && loop->timers->due_ms <= now) {
		struct cx_timer *timer = loop->timers;

		cx_timer_clear(timer);
		timer->fire(timer);
	}
}

int cx_loop_run(struct cx_loop *loop, struct cx_err *err)
{
	struct epoll_event ev[64];

	while (!loop->stop) {
		int n = epoll_wait(loop->epfd, ev, CX_LEN(ev), until_next_timer(loop));

		if (n < 0 && errno != EINTR)
			return cx_fail(err, errno, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct cx_source *src = ev[i].data.ptr;

			if (!src->dead)
				src->ready(src, ev[i].events);
		}
		fire_timers(loop);
		bury(loop);
	}
	return 0;
}

void cx_loop_close(struct cx_loop *loop)
{
	bury(loop);
	cx_close(&loop->epfd);
}
