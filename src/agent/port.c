/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/port.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/*
 * What waits in these sockets counts for the agent's own group, which is small: each has room for
 * this many bytes per direction (the kernel doubles it).
 */
enum { BUFFER_BYTES = 128 << 10 };

struct attempt {
	struct cx_source src;
	struct cx_timer deadline;
	struct cx_agent *agent;
	struct cx_conn_ref asker;
	uint64_t due_ms;
	unsigned target; /* which address is tried */
	uint16_t port;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

enum { TARGETS = 2 };

static socklen_t address_of(const struct attempt *a, union address *ret)
{
	if (a->target == 0) {
		ret->v4 = (struct sockaddr_in){ .sin_family = AF_INET,
						.sin_port = htons(a->port),
						.sin_addr = { htonl(INADDR_LOOPBACK) } };
		return sizeof ret->v4;
	}
	ret->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					 .sin6_port = htons(a->port),
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return sizeof ret->v6;
}

static struct cx_conn *asker_of(const struct attempt *a)
{
	return cx_conn_find(a->agent, a->asker.conn);
}

static int connect_to(const struct attempt *a, int *ret, struct cx_err *err)
{
	union address to;
	socklen_t len = address_of(a, &to);
	cx_autofd int sock =
		socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	int room = BUFFER_BYTES;

	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0 ||
	    (connect(sock, &to.any, len) < 0 && errno != EINPROGRESS))
		return cx_fail(err, errno, "connect to port %u", a->port);
	*ret = cx_take_fd(&sock);
	return 0;
}

static void end_attempt(struct attempt *a)
{
	cx_timer_clear(&a->deadline);
	cx_loop_drop(&a->agent->loop, &a->src);
}

static int begin(const struct attempt *like, struct cx_err *err);

/* Tries the next address or says why there is no connection. */
static void fail(const struct attempt *a, int errnum)
{
	struct attempt next = *a;
	struct cx_err err;

	if (++next.target < TARGETS && begin(&next, &err) == 0)
		return;
	if (errnum == ECONNREFUSED)
		(void)cx_refuse(&err, CX_UNAVAILABLE,
				"nothing listens on port %u inside the sandbox", a->port);
	else
		(void)cx_fail(&err, errnum, "connect to port %u inside the sandbox", a->port);
	cx_conn_refuse(asker_of(a), a->asker.request, &err);
}

/* Where nobody listens a socket that got the same number as its own can meet itself. */
static bool met_itself(int sock)
{
	union address ours, theirs;
	socklen_t ours_len = sizeof ours, theirs_len = sizeof theirs;

	return getsockname(sock, &ours.any, &ours_len) == 0 &&
	       getpeername(sock, &theirs.any, &theirs_len) == 0 && ours_len == theirs_len &&
	       memcmp(&ours, &theirs, ours_len) == 0;
}

static void ready(struct cx_source *src, uint32_t events)
{
	struct attempt *a = cx_container_of(src, struct attempt, src);
	socklen_t len = sizeof(int);
	int errnum = 0;

	(void)events;
	if (getsockopt(src->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
		errnum = errno;
	else if (errnum == 0 && met_itself(src->fd))
		errnum = ECONNREFUSED;
	if (errnum != 0)
		fail(a, errnum);
	else
		cx_conn_port_opened(asker_of(a), a->asker.request, src->fd);
	end_attempt(a);
}

static void too_late(struct cx_timer *timer)
{
	struct attempt *a = cx_container_of(timer, struct attempt, deadline);
	struct cx_err err;

	(void)cx_refuse(&err, CX_TIMEOUT, "port %u inside the sandbox takes no connection",
			a->port);
	cx_conn_refuse(asker_of(a), a->asker.request, &err);
	end_attempt(a);
}

static void destroy(struct cx_source *src)
{
	struct attempt *a = cx_container_of(src, struct attempt, src);

	a->agent->nports--;
	free(a);
}

static int begin(const struct attempt *like, struct cx_err *err)
{
	cx_autofree struct attempt *a = malloc(sizeof *a);
	uint64_t now = cx_now_ms();

	if (a == NULL)
		return cx_fail(err, ENOMEM, "connect to port %u", like->port);
	*a = *like;
	a->src = (struct cx_source){ .ready = ready, .destroy = destroy };
	a->deadline = (struct cx_timer){ .fire = too_late };
	if (connect_to(a, &a->src.fd, err) < 0)
		return -err->errnum;
	if (cx_loop_add(&a->agent->loop, &a->src, EPOLLOUT, err) < 0) {
		cx_close(&a->src.fd);
		return -err->errnum;
	}
	a->agent->nports++;
	cx_timer_set(&a->agent->loop, &a->deadline, a->due_ms > now ? a->due_ms - now : 0);
	(void)cx_take_ptr(&a); /* the loop's now */
	return 0;
}

int cx_port_request(struct cx_agent *agent, struct cx_conn_ref asker,
		    const struct cx_msg_port_open *m, struct cx_err *err)
{
	struct attempt first = { .agent = agent,
				 .asker = asker,
				 .due_ms = cx_now_ms() + m->timeout_ms,
				 .port = (uint16_t)m->port };

	if (agent->nports >= CX_AGENT_PORTS_MAX)
		return cx_refuse(err, CX_BUSY, "%d connections to ports are being made",
				 CX_AGENT_PORTS_MAX);
	return begin(&first, err);
}
