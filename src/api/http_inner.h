/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_HTTP_INNER_H
#define CX_API_HTTP_INNER_H

#include <microhttpd.h>

#include "api/http.h"
#include "api/linger.h"
#include "api/peers.h"
#include "api/tlsfront.h"

/*
 * The inside of the HTTP server. httplisten.c has the listeners, their connections and the loop;
 * httprequest.c leads a request from its first header to its last byte; httpbody.c takes its body;
 * httpanswer.c and httpstream.c answer; httprefuse.c answers what is no request; httpask.c tells
 * handlers what they ask.
 */
enum {
	CX_HTTP_IDLE_SECONDS = 60,
	CX_HTTP_LISTENERS_MAX = 18,
};

struct cx_listener {
	struct cx_http *http;
	struct MHD_Daemon *daemon;
	struct cx_source source; /* a duplicate of the daemon's epoll descriptor */
	struct cx_source door;	 /* the listening socket, unless connections come by the front */
	struct cx_timer pause;	 /* while it is closed */
	unsigned holders;	 /* both sources and the list: who is the last frees it */
	unsigned most;		 /* connections */
	bool local;		 /* a Unix socket, whose clients the kernel names */
	bool tls;		 /* its connections come through the front */
	bool sees_gone; /* the kernel tells a client that has gone from one that ended its half */
	bool closing;
	struct cx_peers peers;
	struct cx_listener *next;
};

struct cx_connection { /* of a client, from accept to close */
	struct cx_listener *at;
	struct cx_peer peer;
	int fd;			 /* libmicrohttpd's */
	uid_t uid;		 /* who connected to a Unix socket, as the kernel saw it then, */
	bool has_uid;		 /* where it says so */
	struct cx_source watch;	 /* of the same, for its client's end */
	struct cx_request *req;	 /* NULL: between two of them */
	bool ended;		 /* the client sends nothing more */
	bool gone;		 /* and takes nothing any more */
	bool asked;		 /* a request of it has come to us */
	bool refused;		 /* what it sent is no request */
	bool last;		 /* its last answer was to be the last one, or is not whole */
	bool streams;		 /* the answer goes on for as long as it likes, or both ways */
	struct cx_caller caller; /* of the stream */
};

struct cx_http {
	struct cx_http_options o;
	struct cx_listener *listeners;
	unsigned n;
	struct cx_tlsfront *front; /* NULL: no TLS */
	struct cx_timer timer;
	bool resumed; /* a connection, and its daemon has not run since */
	struct cx_timer sweep;
	struct cx_request *requests;
	struct cx_lingers lingers;
	/* libmicrohttpd's MHD_queue_response(); see httprefuse.c for the program's. */
	enum MHD_Result (*queue)(struct MHD_Connection *, unsigned, struct MHD_Response *);
};

/* ---- httplisten.c ---------------------------------------------------------------------------- */

void cx_http_enter(struct cx_request *req, enum cx_peer_phase phase);
/* Runs libmicrohttpd once more: with a loop of our own it cannot wake itself up. */
void cx_http_run_soon(struct cx_http *http);
void cx_http_resume(struct cx_request *req); /* harmless when it is not suspended */
/* From now on it is looked again and again whether its caller still may. */
void cx_http_note_stream(struct cx_request *req);

/* ---- httprequest.c: what libmicrohttpd calls ----------------------------------------------- */

enum MHD_Result cx_http_on_access(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **con_cls);
void cx_http_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
			  enum MHD_RequestTerminationCode why);
/* NULL: there was no memory to look after it. */
struct cx_connection *cx_http_connection_of(struct MHD_Connection *connection);
/* Until cx_http_resume(): then what has come is taken, also of a client that sends nothing more. */
void cx_http_suspend(struct cx_request *req);

/* ---- httpbody.c ------------------------------------------------------------------------------ */

bool cx_http_framing_is_clear(struct cx_request *req);
/* Where the body of req, whose route is known, goes; or it is refused. */
void cx_http_prepare_body(struct cx_request *req);
uint64_t cx_http_drop_max(const struct cx_request *req);
/* As libmicrohttpd offers them: *len becomes what is left. */
enum MHD_Result cx_http_take_bytes(struct cx_request *req, const char *data, size_t *len);

/* ---- httpanswer.c ---------------------------------------------------------------------------- */

/* Takes response over; without one (no memory) the connection is closed. */
void cx_http_deliver(struct cx_request *req, unsigned status, struct MHD_Response *response);
/* Refusals that HTTP has a number for and cx_kind has not. */
__attribute__((format(printf, 4, 5))) void cx_http_refuse(struct cx_request *req, unsigned status,
							  const char *code, const char *fmt, ...);

/* {"detail", "code", "request_id"} */
CX_MUST int cx_http_write_refusal(const char *id, const char *code, const char *detail,
				  struct cx_buf *ret, struct cx_err *err);

/* ---- httprefuse.c ---------------------------------------------------------------------------- */

CX_MUST int cx_http_find_queue(struct cx_http *http, struct cx_err *err);
/* libmicrohttpd closes it when this returns; it may still get an answer. */
void cx_http_end_connection(struct cx_connection *c);
/* Its client has ended in the middle of its body. */
void cx_http_refuse_rest(struct cx_request *req);

/* ---- httpstream.c ---------------------------------------------------------------------------- */

/* Its client sends nothing more, or has gone: who answers is told if that is in vain. */
void cx_http_client_ended(struct cx_request *req);

#endif
