/* SPDX-License-Identifier: Apache-2.0 */
#include "api/expose.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "api/exposedoor.h"
#include "api/proxy.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

enum {
	LISTEN_AGAIN_MS = 2000,
	ACCEPT_AGAIN_MS = 100, /* out of descriptors: the connection stays in the queue */
	ACCEPTS_PER_ROUND = 16,
	ID_BYTES = 6,
};

/* ---- accepting ------------------------------------------------------------------------------- */

static void accept_again(struct cx_timer *timer)
{
	struct cx_exposure *e = cx_container_of(timer, struct cx_exposure, timer);
	struct cx_err err;

	if (cx_loop_change(e->gw->loop, &e->listener, EPOLLIN, &err) < 0)
		cx_timer_set(e->gw->loop, timer, ACCEPT_AGAIN_MS);
}

static void pause_accepting(struct cx_exposure *e)
{
	struct cx_err err;

	(void)!cx_loop_change(e->gw->loop, &e->listener, 0, &err);
	e->timer.fire = accept_again;
	cx_timer_set(e->gw->loop, &e->timer, ACCEPT_AGAIN_MS);
}

static void accept_some(struct cx_source *source, uint32_t events)
{
	struct cx_exposure *e = cx_container_of(source, struct cx_exposure, listener);

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof from;
		cx_autofd int sock = accept4(source->fd, (struct sockaddr *)&from, &len,
					     SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				pause_accepting(e);
			return;
		}
		cx_proxy_begin(e, &sock, (struct sockaddr *)&from);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_exposure(struct cx_exposure *e)
{
	cx_exposure_row_clear(&e->row);
	free(e);
}

static void listener_gone(struct cx_source *source)
{
	free_exposure(cx_container_of(source, struct cx_exposure, listener));
}

static void tell(struct cx_exposure *e, const struct cx_err *err)
{
	struct cx_expose_waiter *waiter = e->waiter;

	e->waiter = NULL;
	if (waiter != NULL)
		waiter->done(waiter, err == NULL ? e : NULL, err);
}

/* Frees it, after the running batch of events when there is a listener. */
static void drop(struct cx_exposure *e)
{
	cx_list_remove(e);
	cx_box_unwatch(&e->watch);
	cx_engine_forget(&e->call);
	cx_timer_clear(&e->timer);
	cx_proxies_end(e->gw, e);
	if (e->listener.added)
		cx_loop_drop(e->gw->loop, &e->listener);
	else
		free_exposure(e);
}

static void box_ended(struct cx_box_watch *watch, const struct cx_sandbox_row *row)
{
	struct cx_exposure *e = cx_container_of(watch, struct cx_exposure, watch);
	struct cx_err err;

	(void)cx_refuse(&err, CX_CONFLICT, "the sandbox has ended, it is %s", row->status);
	tell(e, &err);
	drop(e); /* its row went with the sandbox's end */
}

void cx_unexpose(struct cx_exposure *e)
{
	struct cx_err err;

	if (cx_store_exposure_remove(e->gw->store, e->row.id, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "exposed port not forgotten", "id", e->row.id, NULL);
	(void)cx_refuse(&err, CX_CONFLICT, "the port was unexposed meanwhile");
	tell(e, &err);
	drop(e);
}

/* At the end of the list: they are told in the order of their making. */
static struct cx_exposure *enlist(struct cx_gateway *gw, struct cx_box *box)
{
	struct cx_exposure *e = calloc(1, sizeof *e);
	struct cx_exposure **at = &gw->exposures;

	if (e == NULL)
		return NULL;
	e->gw = gw;
	e->box = box;
	e->listener =
		(struct cx_source){ .fd = -EBADF, .ready = accept_some, .destroy = listener_gone };
	e->watch.ended = box_ended;
	cx_box_watch(box, &e->watch);
	while (*at != NULL)
		at = &(*at)->next;
	cx_list_add(at, e);
	return e;
}

/* ---- listening ------------------------------------------------------------------------------- */

static int listen_on(struct cx_exposure *e, int *sock, uint16_t port, struct cx_err *err)
{
	socklen_t len = sizeof e->at;

	if (getsockname(*sock, (struct sockaddr *)&e->at, &len) < 0)
		return cx_fail(err, errno, "look at a listening socket");
	e->row.external_port = port;
	if (cx_set_nonblock(*sock, true, err) < 0 ||
	    cx_store_exposure_put(e->gw->store, &e->row, err) < 0)
		return -err->errnum;
	e->listener.fd = *sock;
	if (cx_loop_add(e->gw->loop, &e->listener, EPOLLIN, err) < 0) {
		e->listener.fd = -EBADF;
		return -err->errnum;
	}
	(void)cx_take_fd(sock);
	return 0;
}

static void listen_again(struct cx_timer *timer);
static int ask(struct cx_exposure *e, struct cx_err *err);

/* Who waits for a new one is told; one that was there before is tried again until it is back. */
static void not_listening(struct cx_exposure *e, const struct cx_err *why)
{
	if (e->waiter != NULL) {
		tell(e, why);
		drop(e);
		return;
	}
	cx_log_err(CX_LOG_WARNING, why, "exposed port not served; trying again", "id", e->row.id,
		   NULL);
	if (why->kind == CX_INVALID) /* none of the ports that are configured now */
		e->row.external_port = 0;
	e->timer.fire = listen_again;
	cx_timer_set(e->gw->loop, &e->timer, LISTEN_AGAIN_MS);
}

static void on_listening(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_exposure *e = cx_container_of(call, struct cx_exposure, call);
	struct cx_err failed;

	if (err == NULL && listen_on(e, &answer->fd, (uint16_t)answer->listening.port, &failed) < 0)
		err = &failed;
	if (err != NULL)
		not_listening(e, err);
	else
		tell(e, NULL);
}

static int ask(struct cx_exposure *e, struct cx_err *err)
{
	e->call.done = on_listening;
	return cx_engine_listen(e->gw->engine, CX_LISTEN_EXPOSE, (uint16_t)e->row.external_port,
				&e->call, err);
}

static void listen_again(struct cx_timer *timer)
{
	struct cx_exposure *e = cx_container_of(timer, struct cx_exposure, timer);
	struct cx_err err;

	if (ask(e, &err) < 0)
		not_listening(e, &err);
}

/* ---- by name --------------------------------------------------------------------------------- */

static void is_named(struct cx_timer *timer)
{
	tell(cx_container_of(timer, struct cx_exposure, timer), NULL);
}

/* There is nothing to wait for, but nobody is told inside the function that asked. */
static int name(struct cx_exposure *e, struct cx_err *err)
{
	e->named = true;
	e->timer.fire = is_named;
	cx_timer_set(e->gw->loop, &e->timer, 0);
	return cx_store_exposure_put(e->gw->store, &e->row, err);
}

/* ---- asked for ------------------------------------------------------------------------------- */

static const struct {
	int64_t port;
	const char *why;
} kept[] = {
	{ 2222, "clients expect SSH there" },
	{ 8080, "the documents say so" },
	{ 8081, "the documents say so" },
};

static int check_port(int64_t port, struct cx_err *err)
{
	bool good = port >= CX_EXPOSE_FIRST && port <= CX_EXPOSE_LAST;

	for (size_t i = 0; i < CX_LEN(kept); i++)
		good &= port != kept[i].port;
	if (good)
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "port %lld cannot be exposed: it must be %d to %d, but not 2222, 8080 or "
			 "8081",
			 (long long)port, CX_EXPOSE_FIRST, CX_EXPOSE_LAST);
}

static int check_others(const struct cx_gateway *gw, const struct cx_box *box,
			const struct cx_expose_wish *wish, struct cx_err *err)
{
	unsigned n = 0;

	for (struct cx_exposure *e = NULL; (e = cx_exposure_next(gw, box, e)) != NULL; n++)
		if (e->row.port == wish->port && e->http == wish->http)
			return cx_refuse(err, CX_CONFLICT, "port %lld is exposed already, as %s",
					 (long long)wish->port, e->row.id);
	if (n >= CX_EXPOSURES_MAX)
		return cx_refuse(err, CX_CONFLICT, "the sandbox exposes %d ports already",
				 CX_EXPOSURES_MAX);
	return 0;
}

static int copy_row(struct cx_exposure *e, const struct cx_exposure_row *row, struct cx_err *err)
{
	e->row = *row;
	e->row.id = strdup(row->id);
	e->row.sandbox_id = strdup(row->sandbox_id);
	e->row.protocol = strdup(row->protocol);
	e->row.name = row->name != NULL ? strdup(row->name) : NULL;
	e->http = strcmp(row->protocol, CX_EXPOSE_HTTP) == 0;
	if (e->row.id == NULL || e->row.sandbox_id == NULL || e->row.protocol == NULL ||
	    (row->name != NULL && e->row.name == NULL))
		return cx_fail(err, ENOMEM, "an exposed port");
	return 0;
}

/* Of copies of all that the row says. */
static int begin(struct cx_gateway *gw, struct cx_box *box, const struct cx_exposure_row *row,
		 struct cx_expose_waiter *waiter, struct cx_err *err)
{
	struct cx_exposure *e = enlist(gw, box);

	if (e == NULL)
		return cx_fail(err, ENOMEM, "an exposed port");
	if (copy_row(e, row, err) < 0 ||
	    (e->http && gw->door != NULL ? name(e, err) : ask(e, err)) < 0) {
		drop(e);
		return -err->errnum;
	}
	e->waiter = waiter;
	return 0;
}

static int make_id(char ret[2 * ID_BYTES + 1], struct cx_err *err)
{
	uint8_t random[ID_BYTES];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "an id");
	cx_to_hex(random, sizeof random, ret);
	return 0;
}

int cx_expose(struct cx_gateway *gw, struct cx_box *box, const struct cx_expose_wish *wish,
	      struct cx_expose_waiter *waiter, struct cx_err *err)
{
	char id[2 * ID_BYTES + 1], sandbox[CX_SANDBOX_ID_MAX + 1], protocol[8],
		name[CX_EXPOSE_NAME_MAX + 1];
	struct cx_exposure_row row = { .id = id,
				       .sandbox_id = sandbox,
				       .port = wish->port,
				       .name = wish->name != NULL ? name : NULL,
				       .protocol = protocol,
				       .created_ms = cx_wall_ms() };

	if (wish->http && gw->door != NULL && cx_exposedoor_check(gw, err) < 0)
		return -err->errnum;
	if (check_port(wish->port, err) < 0 || cx_box_agent(box, err) == NULL ||
	    check_others(gw, box, wish, err) < 0 || make_id(id, err) < 0 ||
	    cx_format(sandbox, sizeof sandbox, "%s", err, cx_box_row(box)->id) < 0 ||
	    cx_format(protocol, sizeof protocol, "%s", err,
		      wish->http ? CX_EXPOSE_HTTP : CX_EXPOSE_TCP) < 0 ||
	    cx_format(name, sizeof name, "%s", err, wish->name != NULL ? wish->name : "") < 0)
		return -err->errnum;
	return begin(gw, box, &row, waiter, err);
}

/* ---- restoring ------------------------------------------------------------------------------- */

/* One whose sandbox ended just now went with it. */
static int restore_one(const struct cx_exposure_row *row, void *arg, struct cx_err *err)
{
	struct cx_gateway *gw = arg;
	struct cx_box *box = cx_box_find(gw, row->sandbox_id);

	return box != NULL ? begin(gw, box, row, NULL, err) : 0;
}

int cx_exposures_restore(struct cx_gateway *gw, struct cx_err *err)
{
	return cx_store_exposure_each(gw->store, restore_one, gw, err);
}
