/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PROXY_INNER_H
#define CX_API_PROXY_INNER_H

#include <arpa/inet.h>

#include "api/head.h"
#include "api/linger.h"
#include "api/proxy.h"
#include "exec/session.h"

/* The inside of proxies, for proxyio.c (connections, bytes) and proxyhttp.c (heads). */

/* What a lane keeps: bytes of a body, or a head that was written anew, with what came behind it. */
enum { CX_PROXY_KEPT_MAX = CX_PROXY_CHUNK + 3 * CX_HEAD_MAX };

enum cx_proxy_state {
	CX_PROXY_HEAD,	     /* HTTP: the head of the request comes */
	CX_PROXY_CONNECTING, /* the agent connects to the port */
	CX_PROXY_ANSWER,     /* HTTP: the request goes, the head of the answer is awaited */
	CX_PROXY_STREAM,     /* bytes flow */
	CX_PROXY_SAYING,     /* HTTP: our own answer goes to the client */
};

/* One direction. What was read and not taken yet waits in kept, and nothing is read meanwhile. */
struct cx_lane {
	struct cx_source *from, *to;
	struct cx_buf kept;
	size_t sent; /* of kept */
	struct cx_framing framing;
	bool open; /* may be read from */
	bool ended, shut;
};

struct cx_proxy {
	struct cx_proxies *all;
	struct cx_exposure *on;	   /* NULL: the head will say, or there is none */
	struct cx_tlsfront *front; /* NULL: in the clear */
	char from[INET6_ADDRSTRLEN];
	uint64_t origin; /* peers.h */
	enum cx_proxy_state state;
	struct cx_source client, inside; /* inside: -EBADF until it is connected */
	struct cx_lane up, down;	 /* to the sandbox, from it */
	struct cx_call call;
	struct cx_buf head; /* HTTP: of the request, then of the answer; what came behind it */
	uint64_t began_ms;
	uint64_t moved_ms; /* when bytes passed last */
	bool moved;	   /* since the last look */
	bool raw;	   /* bytes pass as they are */
	bool upgrade;	   /* asked for */
	bool old;	   /* the client speaks HTTP/1.0 */
	bool no_body;	   /* HEAD */
	unsigned holders;  /* sources that the loop has */
	bool over;
	struct cx_proxy *next, **link;
};

struct cx_proxies {
	struct cx_gateway *gw;
	struct cx_loop *loop;
	struct cx_proxy *first;
	unsigned n;
	struct cx_timer tick;
	struct cx_lingers lingers;
	char scratch[CX_PROXY_CHUNK];
};

/* ---- proxyio.c ------------------------------------------------------------------------------- */

/* Found to be for that one. CX_BUSY: there are too many already. */
CX_MUST int cx_proxy_enter(struct cx_proxy *p, struct cx_exposure *on, struct cx_err *err);
/* Asks the agent for a connection; what comes next, follows. */
void cx_proxy_connect(struct cx_proxy *p);
/* Over, and so that whoever still waits for bytes sees that some are missing. */
void cx_proxy_cut(struct cx_proxy *p);
/* Over; the client has got all. */
void cx_proxy_finish(struct cx_proxy *p);
/* From now on bytes pass as they are, both ways. */
void cx_proxy_become_raw(struct cx_proxy *p);
/* Reads what is there into p->head. 1: more has come; 0: nothing now; -1: nothing will any more. */
CX_MUST int cx_proxy_collect(struct cx_proxy *p, const struct cx_source *from);

/* ---- proxyhttp.c ---------------------------------------------------------------------------- */

void cx_proxy_http_request(struct cx_proxy *p); /* bytes of the request's head are there */
void cx_proxy_http_answer(struct cx_proxy *p);	/* bytes of the answer's head are there */
/* Says what is wrong, and ends. */
void cx_proxy_http_fail(struct cx_proxy *p, const struct cx_err *err);

#endif
