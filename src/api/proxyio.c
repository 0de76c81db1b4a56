/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/peers.h"
#include "api/proxy_inner.h"
#include "api/tlsfront.h"
#include "base/list.h"

enum { ROUNDS = 8, TICK_MS = 1000, COLLECT = 16384 };

/* ---- ends ------------------------------------------------------------------------------------ */

static void let_go(struct cx_proxy *p)
{
	if (--p->holders == 0)
		free(p);
}

static void client_gone(struct cx_source *source)
{
	let_go(cx_container_of(source, struct cx_proxy, client));
}

static void inside_gone(struct cx_source *source)
{
	let_go(cx_container_of(source, struct cx_proxy, inside));
}

/*
 * Closes a socket at once: reset, the other side hears that it was cut. Without, what was sent goes
 * on in the kernel; what the agent has set the socket to must not make close(2) wait for it.
 */
static void close_source(struct cx_proxy *p, struct cx_source *source, bool reset)
{
	struct linger linger = { .l_onoff = reset };

	if (!source->added || source->dead)
		return;
	(void)setsockopt(source->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	cx_loop_drop(p->all->loop, source);
}

static void end(struct cx_proxy *p, bool reset)
{
	if (p->over)
		return;
	p->over = true;
	cx_call_forget(&p->call);
	cx_list_remove(p);
	p->all->n--;
	if (p->on != NULL)
		p->on->connections--;
	if (reset && p->front != NULL)
		cx_tlsfront_cut(p->front, p->client.fd);
	close_source(p, &p->client, reset);
	close_source(p, &p->inside, reset);
	cx_buf_free(&p->head);
	cx_buf_free(&p->up.kept);
	cx_buf_free(&p->down.kept);
}

void cx_proxy_cut(struct cx_proxy *p)
{
	end(p, true);
}

void cx_proxy_finish(struct cx_proxy *p)
{
	if (p->over)
		return;
	if (!p->raw)
		cx_linger_add(&p->all->lingers, p->client.fd);
	end(p, false);
}

void cx_proxies_end(struct cx_gateway *gw, const struct cx_exposure *of)
{
	struct cx_proxy *next;

	for (struct cx_proxy *p = gw->proxies->first; p != NULL; p = next) {
		next = p->next;
		if (p->on == of)
			cx_proxy_cut(p);
	}
}

static void fail(struct cx_proxy *p, const struct cx_err *err)
{
	if (p->raw)
		cx_proxy_cut(p);
	else
		cx_proxy_http_fail(p, err);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void note_move(struct cx_proxy *p)
{
	p->moved_ms = cx_now_ms();
	p->moved = true;
}

/* How many bytes it took; 0: none now. Flags of the socket are not relied on, nor is splice(2)
 * used: of the sandbox's side, the agent can change them (exec/session.h). */
static ssize_t send_some(struct cx_proxy *p, int sock, const char *bytes, size_t len)
{
	ssize_t n = send(sock, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		note_move(p);
	return n >= 0 || (errno != EAGAIN && errno != EINTR) ? n : 0;
}

/* A server may answer before it has read all of a request, and not read the rest. */
static int not_taken(struct cx_proxy *p, struct cx_lane *lane)
{
	if (p->raw || lane != &p->up)
		return -1;
	lane->open = false;
	lane->kept.len = lane->sent = 0;
	return 1;
}

/* 1: nothing is kept any more; 0: it takes no more now; -1: it takes nothing at all. */
static int flush(struct cx_proxy *p, struct cx_lane *lane)
{
	while (lane->sent < lane->kept.len) {
		ssize_t n = send_some(p, lane->to->fd, lane->kept.p + lane->sent,
				      lane->kept.len - lane->sent);

		if (n < 0)
			return not_taken(p, lane);
		if (n == 0)
			return 0;
		lane->sent += (size_t)n;
	}
	lane->kept.len = lane->sent = 0;
	return 1;
}

/* 1: there may be more; 0: nothing now; -1: it broke off. */
static int pass_some(struct cx_proxy *p, struct cx_lane *lane)
{
	char *bytes = p->all->scratch;
	size_t want = CX_PROXY_CHUNK;
	struct cx_err err;
	ssize_t n, sent;

	if (lane->framing.kind == CX_FRAMED_LENGTH && lane->framing.left < want)
		want = (size_t)lane->framing.left;
	n = recv(lane->from->fd, bytes, want, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0) {
		lane->ended = true;
		lane->open = false;
		return lane->framing.kind == CX_FRAMED_TO_END ? 1 : -1;
	}
	n = (ssize_t)cx_framing_take(&lane->framing, bytes, (size_t)n);
	lane->open = !lane->framing.done;
	if (lane->framing.broken)
		return -1;
	sent = send_some(p, lane->to->fd, bytes, (size_t)n);
	if (sent < 0)
		return not_taken(p, lane);
	if (cx_buf_add(&lane->kept, bytes + sent, (size_t)(n - sent), &err) < 0)
		return -1;
	return 1;
}

/* As much as there is, up to a bound: others want their turn. */
static int pump(struct cx_proxy *p, struct cx_lane *lane)
{
	int r = flush(p, lane);

	for (int i = 0; i < ROUNDS && r > 0 && lane->open; i++) {
		r = pass_some(p, lane);
		if (r > 0)
			r = flush(p, lane);
	}
	/* Nothing more will come to wake this up: the end goes on as soon as it is seen. */
	if (r > 0 && lane->ended && p->raw && !lane->shut) {
		lane->shut = true;
		(void)shutdown(lane->to->fd, SHUT_WR);
	}
	return r < 0 ? r : 0;
}

static bool is_complete(const struct cx_proxy *p)
{
	if (p->raw)
		return p->up.shut && p->down.shut;
	return (p->down.ended || p->down.framing.done) && p->down.kept.len == 0;
}

/* ---- what is waited for ---------------------------------------------------------------------- */

static uint32_t wanted(const struct cx_proxy *p, const struct cx_lane *in,
		       const struct cx_lane *out, bool head)
{
	uint32_t events = 0;

	if (head || (in->open && in->kept.len == 0))
		events |= EPOLLIN;
	if (out->kept.len > 0)
		events |= EPOLLOUT;
	if (events == 0 && in == &p->up && !p->raw)
		events = EPOLLRDHUP; /* the client left, and nobody reads it to see that */
	return events;
}

/*
 * Each source reports once and is armed again when something is wanted of it: the end of one that
 * waits for the other side would be reported without end.
 */
static void arm(struct cx_proxy *p, struct cx_source *source, uint32_t events)
{
	struct cx_err err;

	if (events != 0 && source->added && !source->dead &&
	    cx_loop_change(p->all->loop, source, events | EPOLLONESHOT, &err) < 0)
		cx_proxy_cut(p);
}

static void arm_both(struct cx_proxy *p)
{
	bool answers = p->state == CX_PROXY_ANSWER && p->down.kept.len == 0;

	if (!p->over)
		arm(p, &p->client, wanted(p, &p->up, &p->down, p->state == CX_PROXY_HEAD));
	if (!p->over)
		arm(p, &p->inside, wanted(p, &p->down, &p->up, answers));
}

static void step(struct cx_proxy *p)
{
	if (p->state == CX_PROXY_HEAD)
		cx_proxy_http_request(p);
	if (!p->over && p->state > CX_PROXY_CONNECTING && pump(p, &p->up) < 0)
		cx_proxy_cut(p);
	if (!p->over && p->state == CX_PROXY_ANSWER && p->down.kept.len == 0)
		cx_proxy_http_answer(p);
	if (!p->over && p->state > CX_PROXY_CONNECTING && pump(p, &p->down) < 0)
		cx_proxy_cut(p);
	if (!p->over && p->state > CX_PROXY_ANSWER && is_complete(p))
		cx_proxy_finish(p);
	arm_both(p);
}

static void client_ready(struct cx_source *source, uint32_t events)
{
	struct cx_proxy *p = cx_container_of(source, struct cx_proxy, client);

	if ((events & EPOLLRDHUP) != 0 && (events & (EPOLLIN | EPOLLOUT)) == 0)
		cx_proxy_cut(p);
	else
		step(p);
}

static void inside_ready(struct cx_source *source, uint32_t events)
{
	(void)events;
	step(cx_container_of(source, struct cx_proxy, inside));
}

int cx_proxy_collect(struct cx_proxy *p, const struct cx_source *from)
{
	struct cx_err err;
	char *to = cx_buf_reserve(&p->head, COLLECT, &err);
	ssize_t n = to != NULL ? recv(from->fd, to, COLLECT, MSG_DONTWAIT) : -1;

	if (n > 0) {
		p->head.len += (size_t)n;
		note_move(p);
		return 1;
	}
	return to != NULL && n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void set_no_delay(int sock)
{
	int on = 1;

	(void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void cx_proxy_become_raw(struct cx_proxy *p)
{
	p->raw = true;
	p->state = CX_PROXY_STREAM;
	p->up.framing = p->down.framing = cx_framing_of(CX_FRAMED_TO_END, 0);
	p->up.open = p->down.open = true;
}

static int join(struct cx_proxy *p, int *sock, struct cx_err *err)
{
	p->inside.fd = *sock;
	if (cx_loop_add(p->all->loop, &p->inside, EPOLLONESHOT, err) < 0) {
		p->inside.fd = -EBADF;
		return -err->errnum;
	}
	(void)cx_take_fd(sock);
	p->holders++;
	set_no_delay(p->inside.fd);
	return 0;
}

static void on_connected(struct cx_call *call, const struct cx_answer *answer,
			 const struct cx_err *err)
{
	struct cx_proxy *p = cx_container_of(call, struct cx_proxy, call);
	struct cx_err failed;

	if (err == NULL && join(p, answer->sock, &failed) < 0)
		err = &failed;
	if (err != NULL) {
		fail(p, err);
		arm_both(p);
		return;
	}
	note_move(p);
	if (p->raw)
		cx_proxy_become_raw(p);
	else
		p->state = CX_PROXY_ANSWER;
	step(p);
}

void cx_proxy_connect(struct cx_proxy *p)
{
	struct cx_err err;
	struct cx_session *session = cx_box_session(p->on->box, &err);

	p->state = CX_PROXY_CONNECTING;
	p->call.done = on_connected;
	if (session == NULL || cx_session_port(session, (uint16_t)p->on->row.port,
					       CX_PROXY_CONNECT_MS, &p->call, &err) < 0)
		fail(p, &err);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void write_from(char ret[INET6_ADDRSTRLEN], const struct sockaddr *from)
{
	const void *address = &((const struct sockaddr_in *)(const void *)from)->sin_addr;

	if (from->sa_family == AF_INET6)
		address = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
	if (inet_ntop(from->sa_family, address, ret, INET6_ADDRSTRLEN) == NULL)
		(void)strcpy(ret, "unknown");
}

static bool has_its_share(const struct cx_proxies *all, const struct cx_tlsfront *front,
			  uint64_t origin)
{
	unsigned most = front != NULL ? CX_PROXY_HTTPS_MAX : CX_PROXY_MAX, n = 0, own = 0;

	for (const struct cx_proxy *p = all->first; p != NULL; p = p->next) {
		own += p->origin == origin;
		n += p->origin == origin && p->front == front;
	}
	return n >= most - most / 4 || own >= CX_PROXY_MAX - CX_PROXY_MAX / 4;
}

static struct cx_proxy *make(struct cx_proxies *all, bool raw, struct cx_tlsfront *front, int *sock,
			     const struct sockaddr *from)
{
	cx_autofree struct cx_proxy *p = calloc(1, sizeof *p);
	uint64_t origin = cx_peer_origin(from);
	struct cx_err err;

	if (p == NULL || has_its_share(all, front, origin))
		return NULL;
	*p = (struct cx_proxy){
		.all = all,
		.front = front,
		.origin = origin,
		.client = { .fd = *sock, .ready = client_ready, .destroy = client_gone },
		.inside = { .fd = -EBADF, .ready = inside_ready, .destroy = inside_gone },
		.up = { .from = &p->client, .to = &p->inside, .kept.max = CX_PROXY_KEPT_MAX },
		.down = { .from = &p->inside, .to = &p->client, .kept.max = CX_PROXY_KEPT_MAX },
		.head.max = CX_HEAD_MAX + COLLECT,
		.began_ms = cx_now_ms(),
		.raw = raw,
		.holders = 1,
	};
	if (cx_loop_add(all->loop, &p->client, EPOLLONESHOT, &err) < 0)
		return NULL;
	(void)cx_take_fd(sock);
	write_from(p->from, from);
	cx_list_add(&all->first, p);
	all->n++;
	set_no_delay(p->client.fd);
	note_move(p);
	if (all->tick.link == NULL)
		cx_timer_set(all->loop, &all->tick, TICK_MS);
	return cx_take_ptr(&p);
}

static int check_all(const struct cx_proxies *all, struct cx_err *err)
{
	return all->n <= CX_PROXY_MAX
		       ? 0
		       : cx_refuse(err, CX_BUSY, "%d connections to sandboxes are open",
				   CX_PROXY_MAX);
}

int cx_proxy_enter(struct cx_proxy *p, struct cx_exposure *on, struct cx_err *err)
{
	unsigned n = 0;

	p->on = on;
	on->connections++;
	for (const struct cx_exposure *e = NULL;
	     (e = cx_exposure_next(on->gw, on->box, e)) != NULL;)
		n += e->connections;
	if (n > CX_PROXY_BOX_MAX)
		return cx_refuse(err, CX_BUSY, "the sandbox has %d connections already",
				 CX_PROXY_BOX_MAX);
	return check_all(p->all, err);
}

void cx_proxy_begin(struct cx_exposure *on, int *sock, const struct sockaddr *from)
{
	struct cx_proxy *p = make(on->gw->proxies, !on->http, NULL, sock, from);
	struct cx_err err;

	if (p == NULL)
		return;
	if (cx_proxy_enter(p, on, &err) < 0)
		fail(p, &err);
	else if (p->raw)
		cx_proxy_connect(p);
	arm_both(p);
}

void cx_proxy_begin_https(struct cx_gateway *gw, struct cx_tlsfront *front, int *sock,
			  const struct sockaddr *from)
{
	struct cx_proxy *p = make(gw->proxies, false, front, sock, from);
	struct cx_err err;

	if (p == NULL)
		return;
	if (check_all(p->all, &err) < 0)
		fail(p, &err);
	arm_both(p);
}

/* ---- time ------------------------------------------------------------------------------------ */

static const struct {
	uint64_t limit_ms;
	enum cx_kind kind;
	const char *why; /* NULL: nobody is told */
} patience[] = {
	[CX_PROXY_HEAD] = { CX_PROXY_HEAD_MS, CX_INVALID, NULL },
	[CX_PROXY_CONNECTING] = { CX_PROXY_CONNECT_MS + CX_SESSION_ANSWER_MS, CX_TIMEOUT,
				  "the sandbox does not answer" },
	[CX_PROXY_ANSWER] = { CX_PROXY_ANSWER_MS, CX_TIMEOUT,
			      "the server inside the sandbox does not answer" },
	[CX_PROXY_STREAM] = { CX_PROXY_IDLE_MS, CX_TIMEOUT, NULL },
	[CX_PROXY_SAYING] = { CX_PROXY_HEAD_MS, CX_TIMEOUT, NULL },
};

static void look(struct cx_proxy *p, uint64_t now)
{
	uint64_t limit = patience[p->state].limit_ms;
	uint64_t since = p->state == CX_PROXY_HEAD ? p->began_ms : p->moved_ms;
	struct cx_err err;

	if (p->moved && p->on != NULL)
		cx_box_touch(p->on->box);
	p->moved = false;
	if (p->state == CX_PROXY_STREAM && (p->up.kept.len > 0 || p->down.kept.len > 0))
		limit = CX_PROXY_STUCK_MS;
	if (now - since < limit)
		return;
	if (patience[p->state].why == NULL) {
		cx_proxy_cut(p);
		return;
	}
	(void)cx_refuse(&err, patience[p->state].kind, "%s", patience[p->state].why);
	fail(p, &err);
	arm_both(p);
}

/* What is not in use for a while gives its memory back. */
static void shrink(struct cx_lane *lane)
{
	if (lane->kept.len == 0)
		cx_buf_free(&lane->kept);
}

static void tick(struct cx_timer *timer)
{
	struct cx_proxies *all = cx_container_of(timer, struct cx_proxies, tick);
	uint64_t now = cx_now_ms();
	struct cx_proxy *next;

	for (struct cx_proxy *p = all->first; p != NULL; p = next) {
		next = p->next;
		if (!p->moved) {
			shrink(&p->up);
			shrink(&p->down);
		}
		look(p, now);
	}
	if (all->first != NULL)
		cx_timer_set(all->loop, timer, TICK_MS);
}

int cx_proxies_open(struct cx_gateway *gw, struct cx_proxies **ret, struct cx_err *err)
{
	struct cx_proxies *all = calloc(1, sizeof *all);

	if (all == NULL)
		return cx_fail(err, ENOMEM, "connections to sandboxes");
	all->gw = gw;
	all->loop = gw->loop;
	all->tick.fire = tick;
	all->lingers.loop = gw->loop;
	*ret = all;
	return 0;
}

void cx_proxies_close(struct cx_proxies *all)
{
	if (all == NULL)
		return;
	while (all->first != NULL)
		cx_proxy_cut(all->first);
	cx_timer_clear(&all->tick);
	cx_lingers_close(&all->lingers);
	free(all);
}
