/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXPOSURE_H
#define CX_API_EXPOSURE_H

#include <sys/socket.h>

#include "api/boxes.h"
#include "api/exposure_store.h"

/*
 * Exposed ports: each is a listening socket of the host (caissond makes it) whose connections go to
 * one port of one sandbox (proxy.h). It keeps its external port for life, also over a restart of
 * the gateway, and ends with its sandbox. With a domain, those of HTTP have a name instead
 * (exposedoor.h), which they keep in the same way.
 */
#define CX_EXPOSE_HTTP "HTTP"
#define CX_EXPOSE_TCP  "TCP"

struct cx_expose_waiter;

struct cx_exposure {
	struct cx_exposure_row row;
	struct cx_gateway *gw;
	struct cx_box *box;
	bool http;		    /* else any bytes over TCP */
	bool named;		    /* by https, under a name: it has no port */
	struct sockaddr_storage at; /* where it is served; of no family: nowhere yet */
	unsigned connections;	    /* counted by proxyio.c */

	struct cx_expose_waiter *waiter; /* private from here */
	struct cx_box_watch watch;
	struct cx_engine_call call;
	struct cx_source listener;
	struct cx_timer timer; /* listens again, or accepts again */
	struct cx_exposure *next, **link;
};

/* The one behind after (NULL: the first) of those of a sandbox (NULL: of all). */
struct cx_exposure *cx_exposure_next(const struct cx_gateway *gw, const struct cx_box *box,
				     const struct cx_exposure *after);

#endif
