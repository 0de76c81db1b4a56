/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "resolver/gateway.h"
#include "resolver/resolve.h"

enum { TICK_MS = 100, BATCH = 64 };

struct resolver {
	struct cx_loop loop;
	struct cx_packet packet; /* scratch of both links */
	struct cx_guests guests;
	struct cx_cache cache;
	struct cx_upstream upstream;
	struct cx_permits permits;
	struct cx_gateway_link gateway;
	struct cx_clients clients;
	struct cx_denials denials;
	struct cx_resolve resolve;
	struct cx_source refusals;
	struct cx_timer tick; /* while anything waits or is kept for a time */
	uint64_t started_ms;
	bool named, serving;
	struct cx_err why; /* it ends; errnum 0: by the end of those it works for */
	_Alignas(8) uint8_t datagram[65536];
};

/* A peer that went without reading all is gone, too. */
static void end(void *arg, const struct cx_err *err)
{
	struct resolver *r = arg;
	bool gone =
		err->kind == CX_UNAVAILABLE || err->errnum == ECONNRESET || err->errnum == EPIPE;

	if (!gone && r->why.errnum == 0)
		r->why = *err;
	r->loop.stop = true;
}

/* Something came that has to be looked at later. */
static void wake(struct resolver *r)
{
	if (r->tick.link == NULL)
		cx_timer_set(&r->loop, &r->tick, TICK_MS);
}

/* ---- refused packets ------------------------------------------------------------------------- */

static void on_refusal(void *arg, const struct cx_refusal *refusal)
{
	struct resolver *r = arg;
	struct cx_guest *guest = NULL;

	if (refusal->ifindex >= r->guests.ifindex)
		guest = cx_guests_at(&r->guests, refusal->ifindex - r->guests.ifindex);
	if (guest != NULL)
		cx_denials_packet(&r->denials, guest, refusal, cx_now_ms());
	wake(r);
}

static void refusals_ready(struct cx_source *source, uint32_t events)
{
	struct resolver *r = cx_container_of(source, struct resolver, refusals);

	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t n = recv(source->fd, r->datagram, sizeof r->datagram, MSG_DONTWAIT);

		if (n >= 0)
			cx_nflog_read(r->datagram, (size_t)n, on_refusal, r);
		else if (errno != ENOBUFS && errno != EINTR) /* some were lost: they were many */
			return;
	}
}

static int watch_refusals(struct resolver *r, struct cx_err *err)
{
	int type;
	socklen_t size = sizeof type;

	if (getsockopt(CX_RESOLVER_FD_DENIALS, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return 0; /* /dev/null */
	r->refusals = (struct cx_source){ .fd = CX_RESOLVER_FD_DENIALS, .ready = refusals_ready };
	return cx_loop_add(&r->loop, &r->refusals, EPOLLIN, err);
}

static void on_asked(void *arg, struct cx_guest *guest, const struct cx_client *from,
		     const uint8_t *packet, size_t len)
{
	struct resolver *r = arg;

	cx_resolve_asked(&r->resolve, guest, from, packet, len);
	wake(r);
}

/* ---- caissond -------------------------------------------------------------------------------- */

static int on_pools(void *arg, const struct cx_msg_pools *m, struct cx_err *err)
{
	struct resolver *r = arg;

	if (r->guests.n != 0 || !cx_address_take(m->base4, &r->guests.base4) ||
	    (m->base6.len > 0 && !cx_address_take(m->base6, &r->guests.base6)))
		return cx_refuse(err, CX_INVALID, "pools");
	r->guests.n = m->slots;
	r->guests.ifindex = m->ifindex;
	return 0;
}

static int on_service(void *arg, const struct cx_msg_service *m, struct cx_err *err)
{
	struct resolver *r = arg;

	return cx_resolve_service(&r->resolve, m, err);
}

static int on_upstream(void *arg, const struct cx_msg_upstream *m, struct cx_err *err)
{
	struct resolver *r = arg;
	struct cx_address address;

	if (!cx_address_take(m->address, &address) || m->port == 0)
		return cx_refuse(err, CX_INVALID, "name server %u", r->upstream.nservers);
	return cx_upstream_add(&r->upstream, &address, (uint16_t)m->port, err);
}

static int on_reachable(void *arg, const struct cx_msg_reachable *m, struct cx_err *err)
{
	struct resolver *r = arg;

	return cx_resolve_reachable(&r->resolve, m, err);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* What came before waits in the sockets. */
static void serve_when_ready(struct resolver *r)
{
	static const int udp[] = { CX_RESOLVER_FD_UDP, CX_RESOLVER_FD_UDP6 };
	static const int tcp[] = { CX_RESOLVER_FD_TCP, CX_RESOLVER_FD_TCP6 };
	struct cx_err err;

	if (r->serving || !r->permits.told ||
	    (!r->named && cx_now_ms() - r->started_ms < CX_RESOLVER_WAIT_MS))
		return;
	r->serving = true;
	if (cx_clients_open(&r->clients, udp, tcp, &err) < 0 || watch_refusals(r, &err) < 0)
		end(r, &err);
}

static void on_told(void *arg)
{
	serve_when_ready(arg);
}

/* ---- the gateway ----------------------------------------------------------------------------- */

static void on_named(void *arg)
{
	struct resolver *r = arg;

	r->named = true;
	serve_when_ready(r);
}

static void on_changed(void *arg, struct cx_guest *guest, uint32_t request)
{
	struct resolver *r = arg;

	cx_resolve_changed(&r->resolve, guest, request);
}

static void on_forgotten(void *arg, struct cx_guest *guest)
{
	struct resolver *r = arg;

	cx_clients_forget(&r->clients, guest);
}

static void on_set(void *arg, uint32_t slot, uint32_t request)
{
	struct resolver *r = arg;

	cx_gateway_link_set(&r->gateway, slot, request);
}

static void on_denied(void *arg, const struct cx_msg_denied *m)
{
	struct resolver *r = arg;

	cx_gateway_link_denied(&r->gateway, m);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void on_tick(struct cx_timer *timer)
{
	struct resolver *r = cx_container_of(timer, struct resolver, tick);
	uint64_t now_ms = cx_now_ms();
	bool kept = cx_denials_tick(&r->denials, now_ms);

	serve_when_ready(r);
	cx_upstream_tick(&r->upstream, now_ms);
	cx_resolve_tick(&r->resolve, now_ms);
	if (kept || !r->serving || r->resolve.njobs > 0 || r->upstream.nasking > 0)
		wake(r);
}

static int open_links(struct resolver *r, struct cx_err *err)
{
	const struct cx_permits_watch permits = { .pools = on_pools,
						  .service = on_service,
						  .upstream = on_upstream,
						  .reachable = on_reachable,
						  .told = on_told,
						  .lost = end,
						  .arg = r };
	const struct cx_gateway_link_watch gateway = { .changed = on_changed,
						       .forgotten = on_forgotten,
						       .told = on_named,
						       .lost = end,
						       .arg = r };

	if (cx_set_nonblock(CX_RESOLVER_FD_CAISSOND, true, err) < 0 ||
	    cx_set_nonblock(CX_RESOLVER_FD_GATEWAY, true, err) < 0 ||
	    cx_permits_open(&r->permits, &r->loop, &r->packet, CX_RESOLVER_FD_CAISSOND, &permits,
			    err) < 0)
		return -err->errnum;
	return cx_gateway_link_open(&r->gateway, &r->loop, &r->packet, CX_RESOLVER_FD_GATEWAY,
				    &r->guests, &gateway, err);
}

static int start(struct resolver *r, struct cx_err *err)
{
	r->upstream.loop = &r->loop;
	r->denials.tell = on_denied;
	r->denials.arg = r;
	r->clients.loop = &r->loop;
	r->clients.guests = &r->guests;
	r->clients.asked = on_asked;
	r->clients.arg = r;
	r->resolve.guests = &r->guests;
	r->resolve.cache = &r->cache;
	r->resolve.upstream = &r->upstream;
	r->resolve.permits = &r->permits;
	r->resolve.clients = &r->clients;
	r->resolve.denials = &r->denials;
	r->resolve.set = on_set;
	r->resolve.arg = r;
	r->started_ms = cx_now_ms();
	r->tick.fire = on_tick;
	wake(r);
	return open_links(r, err);
}

static void close_resolver(struct resolver *r)
{
	cx_timer_clear(&r->tick);
	cx_clients_close(&r->clients);
	cx_upstream_close(&r->upstream);
	cx_loop_drop(&r->loop, &r->refusals);
	cx_gateway_link_close(&r->gateway);
	cx_permits_close(&r->permits);
	cx_cache_clear(&r->cache);
	cx_guests_clear(&r->guests);
	cx_loop_close(&r->loop);
}

int cx_resolver_run(struct cx_err *err)
{
	cx_autofree struct resolver *r = calloc(1, sizeof *r);
	int result;

	if (r == NULL)
		return cx_fail(err, ENOMEM, "the resolver");
	if (cx_loop_open(&r->loop, err) < 0)
		return -err->errnum;
	result = start(r, err);
	if (result == 0)
		result = cx_loop_run(&r->loop, err);
	if (result == 0 && r->why.errnum != 0) {
		*err = r->why;
		result = -err->errnum;
	}
	close_resolver(r);
	return result;
}
