/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"

enum {
	BATCH = 64,
	PREFIX = 2,
	IN_MAX = PREFIX + 4096, /* no honest question is longer */
	LOOK_MS = 1000,		/* between two looks at who is quiet */
};

struct cx_connection {
	struct cx_source source;
	struct cx_clients *clients;
	struct cx_guest *guest;
	uint16_t index;
	uint32_t generation;
	unsigned waiting; /* questions that have no answer yet */
	bool taking;	  /* in take_questions() */
	bool ended;	  /* it asks nothing more, but waits for answers */
	uint64_t quiet_since_ms;
	uint32_t events;
	struct cx_buf out;
	size_t len;
	uint8_t in[IN_MAX];
};

static bool may_ask(struct cx_guest *guest)
{
	return cx_bucket_take(&guest->questions, cx_now_ms(), CX_CLIENTS_A_SECOND,
			      CX_CLIENTS_AT_ONCE);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static bool take_datagram(struct cx_clients *c, struct cx_source *source, uint8_t socket)
{
	struct cx_client from = { .socket = socket };
	socklen_t size = sizeof from.from;
	ssize_t n = recvfrom(source->fd, c->packet, sizeof c->packet, 0,
			     (struct sockaddr *)&from.from, &size);
	struct cx_address address;
	struct cx_guest *guest;

	if (n < 0)
		return errno == EINTR;
	guest = cx_address_of_socket(&from.from, &address) ? cx_guests_from(c->guests, &address)
							   : NULL;
	if (guest != NULL && may_ask(guest))
		c->asked(c->arg, guest, &from, c->packet, (size_t)n);
	return true;
}

static void udp_ready(struct cx_clients *c, uint8_t socket)
{
	for (unsigned i = 0; i < BATCH && take_datagram(c, &c->udp[socket], socket); i++)
		;
}

static void udp4_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	udp_ready(cx_container_of(source, struct cx_clients, udp[0]), 0);
}

static void udp6_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	udp_ready(cx_container_of(source, struct cx_clients, udp[1]), 1);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void destroy_connection(struct cx_source *source)
{
	struct cx_connection *conn = cx_container_of(source, struct cx_connection, source);

	cx_buf_free(&conn->out);
	free(conn);
}

static void drop(struct cx_connection *conn)
{
	if (conn->clients->connections[conn->index] != conn)
		return;
	conn->clients->connections[conn->index] = NULL;
	conn->guest->connections--;
	cx_loop_drop(conn->clients->loop, &conn->source);
}

/* What is to be waited for: more of it only when it has taken what it asked for. */
static void update(struct cx_connection *conn)
{
	bool reads = !conn->ended && conn->waiting < CX_CLIENTS_PIPELINED &&
		     conn->out.len < CX_CLIENTS_QUEUE / 2;
	uint32_t events = (reads ? EPOLLIN : 0U) | (conn->out.len > 0 ? EPOLLOUT : 0U);
	struct cx_err err;

	if (conn->ended && conn->waiting == 0 && conn->out.len == 0) {
		drop(conn);
	} else if (events != conn->events) {
		conn->events = events;
		if (cx_loop_change(conn->clients->loop, &conn->source, events, &err) < 0)
			drop(conn);
	}
}

/*
 * The questions that are in the buffer. An answer that comes at once may lead here again, which
 * does nothing then. False: the connection is of no use any more.
 */
static bool take_questions(struct cx_connection *conn)
{
	struct cx_clients *c = conn->clients;
	struct cx_client from = { .tcp = true,
				  .connection = conn->index,
				  .generation = conn->generation };
	bool ok = true;

	if (conn->taking)
		return true;
	conn->taking = true;
	while (ok && !conn->source.dead && conn->len >= PREFIX &&
	       conn->waiting < CX_CLIENTS_PIPELINED) {
		size_t len = (size_t)(conn->in[0] << 8 | conn->in[1]);

		ok = len >= CX_DNS_HEADER && len <= IN_MAX - PREFIX;
		if (!ok || conn->len < PREFIX + len)
			break;
		memcpy(c->packet, conn->in + PREFIX, len);
		conn->len -= PREFIX + len;
		memmove(conn->in, conn->in + PREFIX + len, conn->len);
		ok = may_ask(conn->guest);
		if (!ok)
			break;
		conn->waiting++;
		c->asked(c->arg, conn->guest, &from, c->packet, len);
	}
	conn->taking = false;
	return ok;
}

/* There is room: questions are taken from a full buffer first. */
static bool receive(struct cx_connection *conn)
{
	ssize_t n = recv(conn->source.fd, conn->in + conn->len, sizeof conn->in - conn->len, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	conn->ended = n == 0;
	conn->len += (size_t)n;
	conn->quiet_since_ms = cx_now_ms();
	return true;
}

static bool flush(struct cx_connection *conn)
{
	while (conn->out.len > 0) {
		ssize_t n = send(conn->source.fd, conn->out.p, conn->out.len, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		cx_buf_drop_front(&conn->out, (size_t)n);
		conn->quiet_since_ms = cx_now_ms();
	}
	return true;
}

static void connection_ready(struct cx_source *source, uint32_t events)
{
	struct cx_connection *conn = cx_container_of(source, struct cx_connection, source);
	bool ok = (events & (EPOLLERR | EPOLLHUP)) == 0;

	if (ok && (events & EPOLLOUT) != 0)
		ok = flush(conn);
	if (ok && (events & EPOLLIN) != 0)
		ok = receive(conn);
	if (ok)
		ok = take_questions(conn);
	if (!ok)
		drop(conn);
	else if (!conn->source.dead)
		update(conn);
}

/* Ends connections that were quiet for too long; runs while there are any. */
static void end_quiet(struct cx_timer *timer)
{
	struct cx_clients *c = cx_container_of(timer, struct cx_clients, look);
	uint64_t now_ms = cx_now_ms();
	bool any = false;

	for (unsigned i = 0; i < CX_CLIENTS_CONNECTIONS; i++) {
		struct cx_connection *conn = c->connections[i];

		if (conn != NULL && now_ms - conn->quiet_since_ms > CX_CLIENTS_IDLE_MS)
			drop(conn);
		any |= c->connections[i] != NULL;
	}
	if (any)
		cx_timer_set(c->loop, timer, LOOK_MS);
}

static struct cx_connection *new_connection(struct cx_clients *c, struct cx_guest *guest)
{
	struct cx_connection *conn;
	uint16_t index = 0;

	while (index < CX_CLIENTS_CONNECTIONS && c->connections[index] != NULL)
		index++;
	if (index == CX_CLIENTS_CONNECTIONS || guest->connections == CX_CLIENTS_EACH)
		return NULL;
	conn = calloc(1, sizeof *conn);
	if (conn == NULL)
		return NULL;
	conn->clients = c;
	conn->guest = guest;
	conn->index = index;
	conn->generation = ++c->generation;
	conn->quiet_since_ms = cx_now_ms();
	conn->events = EPOLLIN;
	conn->out.max = CX_CLIENTS_QUEUE;
	return conn;
}

static void accept_one(struct cx_clients *c, int sock, const struct sockaddr_in6 *from)
{
	cx_autofd int owned = sock;
	struct cx_address address;
	struct cx_guest *guest =
		cx_address_of_socket(from, &address) ? cx_guests_from(c->guests, &address) : NULL;
	struct cx_connection *conn = guest != NULL ? new_connection(c, guest) : NULL;
	struct cx_err err;

	if (conn == NULL)
		return;
	conn->source = (struct cx_source){ .fd = sock,
					   .ready = connection_ready,
					   .destroy = destroy_connection };
	if (cx_loop_add(c->loop, &conn->source, EPOLLIN, &err) < 0) {
		free(conn);
		return;
	}
	(void)cx_take_fd(&owned);
	c->connections[conn->index] = conn;
	guest->connections++;
	if (c->look.link == NULL)
		cx_timer_set(c->loop, &c->look, LOOK_MS);
}

static void tcp_ready(struct cx_clients *c, int listening)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct sockaddr_in6 from = { 0 };
		socklen_t size = sizeof from;
		int sock = accept4(listening, (struct sockaddr *)&from, &size,
				   SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (sock >= 0)
			accept_one(c, sock, &from);
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void tcp4_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	tcp_ready(cx_container_of(source, struct cx_clients, tcp[0]), source->fd);
}

static void tcp6_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	tcp_ready(cx_container_of(source, struct cx_clients, tcp[1]), source->fd);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool is_socket(int fd)
{
	int type;
	socklen_t size = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

static int serve(struct cx_clients *c, struct cx_source *source, int fd,
		 void (*ready)(struct cx_source *source, uint32_t events), struct cx_err *err)
{
	if (!is_socket(fd))
		return 0;
	*source = (struct cx_source){ .fd = fd, .ready = ready };
	if (cx_set_nonblock(fd, true, err) < 0)
		return -err->errnum;
	return cx_loop_add(c->loop, source, EPOLLIN, err);
}

int cx_clients_open(struct cx_clients *clients, const int udp[CX_CLIENTS_SOCKETS],
		    const int tcp[CX_CLIENTS_SOCKETS], struct cx_err *err)
{
	clients->look.fire = end_quiet;
	if (serve(clients, &clients->udp[0], udp[0], udp4_ready, err) < 0 ||
	    serve(clients, &clients->udp[1], udp[1], udp6_ready, err) < 0 ||
	    serve(clients, &clients->tcp[0], tcp[0], tcp4_ready, err) < 0 ||
	    serve(clients, &clients->tcp[1], tcp[1], tcp6_ready, err) < 0)
		return cx_wrap(err, "sockets of sandboxes");
	return 0;
}

void cx_clients_close(struct cx_clients *clients)
{
	cx_timer_clear(&clients->look);
	for (unsigned i = 0; i < CX_CLIENTS_CONNECTIONS; i++)
		if (clients->connections[i] != NULL)
			drop(clients->connections[i]);
	for (unsigned i = 0; i < CX_CLIENTS_SOCKETS; i++) {
		cx_loop_drop(clients->loop, &clients->udp[i]);
		cx_loop_drop(clients->loop, &clients->tcp[i]);
	}
}

static void answer_tcp(struct cx_clients *c, const struct cx_client *to, const uint8_t *packet,
		       size_t len)
{
	const uint8_t prefix[PREFIX] = { (uint8_t)(len >> 8), (uint8_t)len };
	struct cx_connection *conn = c->connections[to->connection];
	struct cx_err err;

	if (conn == NULL || conn->generation != to->generation)
		return;
	conn->waiting--;
	if (len > 0 && (cx_buf_add(&conn->out, prefix, sizeof prefix, &err) < 0 ||
			cx_buf_add(&conn->out, packet, len, &err) < 0)) {
		drop(conn); /* it asks, but takes no answer */
		return;
	}
	if (!flush(conn) || !take_questions(conn))
		drop(conn);
	else if (!conn->source.dead)
		update(conn);
}

void cx_clients_answer(struct cx_clients *clients, const struct cx_client *to,
		       const uint8_t *packet, size_t len)
{
	socklen_t size =
		to->from.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof to->from;

	if (to->tcp)
		answer_tcp(clients, to, packet, len);
	else if (len > 0) /* one that cannot be sent now is asked for again */
		(void)sendto(clients->udp[to->socket].fd, packet, len, MSG_DONTWAIT,
			     (const struct sockaddr *)&to->from, size);
}

void cx_clients_forget(struct cx_clients *clients, const struct cx_guest *guest)
{
	for (unsigned i = 0; i < CX_CLIENTS_CONNECTIONS; i++)
		if (clients->connections[i] != NULL && clients->connections[i]->guest == guest)
			drop(clients->connections[i]);
}
