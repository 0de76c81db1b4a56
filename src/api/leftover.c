/* SPDX-License-Identifier: Apache-2.0 */
#include "api/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "proto/packet.h"

struct cx_leftover {
	struct cx_source source;
	struct cx_leftovers *all;
	bool resting;
	struct cx_leftover *next, **link;
};

static void closed(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_leftover, source));
}

static void end(struct cx_leftover *left)
{
	cx_list_remove(left);
	left->all->n--;
	cx_loop_drop(left->all->loop, &left->source);
}

/* Watched once only: neither a fast writer nor a hang-up calls us without a pause. */
static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_leftover *left = cx_container_of(source, struct cx_leftover, source);
	CX_UNINITIALIZED char piece[CX_LEFTOVER_PIECE];
	ssize_t n = read(source->fd, piece, sizeof piece);

	(void)events;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		end(left);
		return;
	}
	left->resting = true;
	if (left->all->timer.link == NULL)
		cx_timer_set(left->all->loop, &left->all->timer, CX_LEFTOVER_PAUSE_MS);
}

static void go_on(struct cx_timer *timer)
{
	struct cx_leftovers *all = cx_container_of(timer, struct cx_leftovers, timer);
	struct cx_leftover *next;
	struct cx_err err;

	for (struct cx_leftover *left = all->first; left != NULL; left = next) {
		next = left->next;
		if (left->resting &&
		    cx_loop_change(all->loop, &left->source, EPOLLIN | EPOLLONESHOT, &err) < 0)
			end(left);
		else
			left->resting = false;
	}
}

static bool at_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0 && (p.revents & POLLIN) == 0;
}

void cx_leftover_keep(struct cx_leftovers *all, struct cx_loop *loop, int fd)
{
	cx_autofree struct cx_leftover *left = NULL;
	cx_autofd int own = -EBADF;
	struct cx_err err;

	if (all->n == CX_LEFTOVER_MAX || at_end(fd))
		return;
	all->loop = loop;
	all->timer.fire = go_on;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	left = calloc(1, sizeof *left);
	if (own < 0 || left == NULL)
		return;
	*left = (struct cx_leftover){
		.source = { .fd = own, .ready = ready, .destroy = closed },
		.all = all,
	};
	if (cx_loop_add(loop, &left->source, EPOLLIN | EPOLLONESHOT, &err) < 0)
		return;
	(void)cx_take_fd(&own);
	cx_list_add(&all->first, left);
	all->n++;
	left = NULL;
}
