/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exposedoor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/proxy.h"
#include "api/tlsfront.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

enum {
	HTTPS = 443,
	AGAIN_MS = 2000,
};

struct cx_exposedoor {
	struct cx_gateway *gw;
	struct cx_tlsfront *front;
	struct cx_engine_call listen;
	struct cx_timer again;
	struct cx_err why; /* errnum 0: it is served */
	uint16_t port;
	char domain[CX_EXPOSEDOOR_DOMAIN_MAX + 1];
};

/* ---- listening ------------------------------------------------------------------------------- */

static void take(void *arg, int plain, const struct sockaddr *addr, socklen_t len)
{
	struct cx_exposedoor *door = arg;
	cx_autofd int sock = plain;

	(void)len;
	cx_proxy_begin_https(door->gw, door->front, &sock, addr);
}

static void not_served(struct cx_exposedoor *door, const struct cx_err *why)
{
	cx_log_err(CX_LOG_WARNING, why, "exposed ports are not served by https; trying again",
		   "domain", door->domain, NULL);
	(void)cx_refuse(&door->why, CX_UNAVAILABLE, "exposed ports are not served: %s", why->msg);
	cx_timer_set(door->gw->loop, &door->again, AGAIN_MS);
}

static void on_listening(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *why)
{
	struct cx_exposedoor *door = cx_container_of(call, struct cx_exposedoor, listen);
	struct cx_err err;

	if (why == NULL && (cx_set_nonblock(answer->fd, true, &err) < 0 ||
			    cx_tlsfront_listen(door->front, &answer->fd, CX_PROXY_HTTPS_MAX, take,
					       door, &err) < 0))
		why = &err;
	if (why != NULL) {
		not_served(door, why);
		return;
	}
	door->port = (uint16_t)answer->listening.port;
	door->why.errnum = 0;
}

static void listen_again(struct cx_timer *timer)
{
	struct cx_exposedoor *door = cx_container_of(timer, struct cx_exposedoor, again);
	struct cx_err err;

	if (cx_engine_listen(door->gw->engine, CX_LISTEN_HTTPS, 0, &door->listen, &err) < 0)
		not_served(door, &err);
}

int cx_exposedoor_open(struct cx_gateway *gw, const char *domain, const char *cert, const char *key,
		       struct cx_err *err)
{
	cx_autofree struct cx_exposedoor *door = calloc(1, sizeof *door);

	if (door == NULL)
		return cx_fail(err, ENOMEM, "exposed ports");
	door->gw = gw;
	door->listen.done = on_listening;
	door->again.fire = listen_again;
	(void)cx_refuse(&door->why, CX_UNAVAILABLE, "exposed ports are not served yet");
	if (cx_format(door->domain, sizeof door->domain, "%s", err, domain) < 0 ||
	    cx_tlsfront_open(gw->loop, cert, key, &door->front, err) < 0)
		return cx_wrap(err, "exposed ports");
	gw->door = cx_take_ptr(&door);
	listen_again(&gw->door->again);
	return 0;
}

int cx_exposedoor_renew(struct cx_gateway *gw, const char *cert, const char *key,
			struct cx_err *err)
{
	return gw->door != NULL ? cx_tlsfront_renew(gw->door->front, cert, key, err) : 0;
}

int cx_exposedoor_check(const struct cx_gateway *gw, struct cx_err *err)
{
	if (gw->door->why.errnum == 0)
		return 0;
	*err = gw->door->why;
	return -err->errnum;
}

/* ---- names ----------------------------------------------------------------------------------- */

void cx_exposedoor_url(const struct cx_exposure *exposure, char ret[CX_EXPOSEDOOR_URL_MAX])
{
	const struct cx_exposedoor *door = exposure->gw->door;
	char port[8] = "";

	if (door->port != HTTPS)
		(void)snprintf(port, sizeof port, ":%u", door->port);
	(void)snprintf(ret, CX_EXPOSEDOOR_URL_MAX, "https://%.32s.%s%s", exposure->row.id,
		       door->domain, port);
}

struct cx_str cx_exposedoor_label(const char *domain, struct cx_str host)
{
	const char *colon = host.len > 0 ? memchr(host.p, ':', host.len) : NULL;
	size_t len = strlen(domain), label;

	if (colon != NULL)
		host.len = (uint32_t)(colon - host.p);
	if (host.len > 0 && host.p[host.len - 1] == '.')
		host.len--;
	if (host.len < len + 2)
		return (struct cx_str){ 0 };
	label = host.len - len - 1;
	if (host.p[label] != '.' || memchr(host.p, '.', label) != NULL ||
	    strncasecmp(host.p + label + 1, domain, len) != 0)
		return (struct cx_str){ 0 };
	return (struct cx_str){ .p = host.p, .len = (uint32_t)label };
}

struct cx_exposure *cx_exposedoor_find(const struct cx_gateway *gw, struct cx_str host)
{
	struct cx_str label = cx_exposedoor_label(gw->door->domain, host);
	struct cx_exposure *e = NULL;

	while (label.len > 0 && (e = cx_exposure_next(gw, NULL, e)) != NULL)
		if (e->http && strlen(e->row.id) == label.len &&
		    strncasecmp(e->row.id, label.p, label.len) == 0)
			return e;
	return NULL;
}
