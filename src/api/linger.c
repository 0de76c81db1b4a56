/* SPDX-License-Identifier: Apache-2.0 */
#include "api/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"

enum { CHUNK = 16384 };

struct cx_linger {
	struct cx_lingers *all;
	struct cx_source source;
	struct cx_timer timer;
	size_t left; /* bytes */
	struct cx_linger *next, **link;
};

static void let_go(struct cx_linger *linger)
{
	if (linger->link == NULL)
		return;
	cx_list_remove(linger);
	linger->all->n--;
	cx_timer_clear(&linger->timer);
	cx_loop_drop(linger->all->loop, &linger->source); /* destroy() frees */
}

static void destroy(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_linger, source));
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_linger *linger = cx_container_of(source, struct cx_linger, source);
	char chunk[CHUNK];
	ssize_t n = recv(source->fd, chunk, sizeof chunk, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (size_t)n >= linger->left)
		let_go(linger);
	else
		linger->left -= (size_t)n;
}

static void time_is_up(struct cx_timer *timer)
{
	let_go(cx_container_of(timer, struct cx_linger, timer));
}

static void enlist(struct cx_lingers *all, struct cx_linger *linger)
{
	cx_list_add(&all->first, linger);
	all->n++;
	cx_timer_set(all->loop, &linger->timer, CX_LINGER_MS);
}

/* Best effort: without memory or a descriptor the connection is closed as it would have been. */
void cx_linger_add(struct cx_lingers *all, int fd)
{
	struct cx_linger *linger;
	struct cx_err ignored;

	if (all->n >= CX_LINGER_MAX)
		return;
	linger = calloc(1, sizeof *linger);
	if (linger == NULL)
		return;
	*linger = (struct cx_linger){ .all = all,
				      .left = CX_LINGER_BYTES,
				      .timer.fire = time_is_up,
				      .source = { .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
						  .ready = ready,
						  .destroy = destroy } };
	if (linger->source.fd < 0 || shutdown(fd, SHUT_WR) < 0 ||
	    cx_loop_add(all->loop, &linger->source, EPOLLIN, &ignored) < 0) {
		cx_close(&linger->source.fd);
		free(linger);
		return;
	}
	enlist(all, linger);
}

void cx_lingers_close(struct cx_lingers *all)
{
	while (all->first != NULL)
		let_go(all->first);
}
