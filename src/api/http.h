/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_HTTP_H
#define CX_API_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/auth.h"
#include "api/reqid.h"
#include "api/routes.h"
#include "base/buf.h"
#include "base/loop.h"

/*
 * The door to libmicrohttpd, driven by our loop. The credential is checked and the route found
 * before any byte of a body is read; the handler runs when the body is complete (but with
 * CX_BODY_STREAM) and answers at once or later, exactly once.
 */
struct cx_gateway;
struct cx_http;
struct MHD_Connection;
struct MHD_Response;
struct cx_upgrade;

enum { CX_PIECES_END = -1, CX_PIECES_CUT = -2 };

/*
 * The body of an answer whose length nobody knows yet, embedded in its owner. Its bytes are asked
 * for as fast as the client takes them; one that takes none for ten minutes counts as gone.
 */
struct cx_pieces {
	/*
	 * Up to max bytes into to, and how many. 0: none now; cx_pieces_wake() follows.
	 * CX_PIECES_END: that was all. CX_PIECES_CUT: the connection is cut, so that the client
	 * sees (but over HTTP/1.0) that the rest is missing.
	 */
	ssize_t (*read)(struct cx_pieces *body, char *to, size_t max);
	/* The last call, exactly once: all is sent, or it was cut, or the client went away. */
	void (*closed)(struct cx_pieces *body);
	/*
	 * It may have nothing to say for long. Over TCP a client that has gone is seen by what is
	 * sent to it, so that one that ends its half only counts as gone here.
	 */
	bool quiet;
	struct cx_request *req; /* private */
};

/*
 * The body of a request of CX_BODY_STREAM, taken as it comes; embedded in its owner. The handler
 * calls cx_request_take(), or answers at once. An answer may come at any time; then nothing here is
 * called any more and the rest of the body is thrown away.
 */
struct cx_inflow {
	/*
	 * Takes up to len bytes, and says how many. 0: none now; cx_inflow_wake() follows. It may
	 * answer (and what it returns does not matter then).
	 */
	size_t (*take)(struct cx_inflow *in, const char *data, size_t len);
	/* All of it was taken; the answer comes now or later. */
	void (*end)(struct cx_inflow *in);
	/* Instead: the client left in the middle. The request must not be answered any more. */
	void (*lost)(struct cx_inflow *in);
	struct cx_request *req; /* private */
};

struct cx_request {
	struct cx_gateway *gateway;
	const struct cx_route *route;
	struct cx_caller caller;
	char id[CX_REQUEST_ID_MAX + 1];
	char param[CX_PARAM_MAX + 1]; /* of the route's path, decoded; see cx_route_match() */
	struct cx_buf body;	      /* CX_BODY_JSON */
	int body_fd;		      /* CX_BODY_FILE, CX_BODY_COMES; the handler may take it */
	uint64_t body_bytes;	      /* received so far, also of what was thrown away */

	char about[CX_PARAM_MAX + 1]; /* cx_request_about() */

	/*
	 * CX_BODY_COMES: set by the handler, which does not answer yet. Then more of the body may
	 * be in body_fd (may be NULL); at last all of it is there, as if that was the handler; or
	 * it will not be, and the answer is none of whole()'s business.
	 */
	void (*grown)(struct cx_request *req);
	void (*whole)(struct cx_request *req);
	void (*broken)(struct cx_request *req); /* may be NULL */

	/*
	 * For an answer that takes long, set before the handler returns: called once when the
	 * client has gone before the answer (not when it has only ended its half). The handler
	 * answers all the same, soon.
	 */
	void (*gone)(struct cx_request *req);
	void *owner; /* the handler's */

	/* private */
	struct cx_http *http;
	struct MHD_Connection *connection;
	struct MHD_Response *response;
	unsigned status;
	uint64_t began_us;
	struct cx_pieces *stream;
	struct cx_inflow *inflow;
	bool handled, answered, suspended, too_large;
	bool http_1_0;
	struct cx_connection *from;
	bool probed;  /* whether its client is still there */
	bool unclear; /* where it ends */
	bool linger;  /* its body is left unread */
	struct cx_err body_err;
	uint64_t body_max;
	void (*upgraded)(void *arg, int sock, struct cx_upgrade *handle);
	void *upgrade_arg;
	struct cx_request *next, **link;
};

struct cx_http_options {
	struct cx_loop *loop;
	struct cx_gateway *gateway;
	const struct cx_auth *auth;
	int spool_dir;			/* where bodies of CX_BODY_FILE go, unnamed; borrowed */
	uint64_t file_body_max;		/* bytes */
	const char *tls_cert, *tls_key; /* PEM, for TCP; NULL: no TLS */
	unsigned connections_max;	/* of a Unix socket, and of each TCP one */
	unsigned strangers_max;
	/* NULL, or told of each request that is over; route is NULL when there is none. */
	void (*over)(void *arg, const struct cx_route *route, unsigned status, uint64_t us);
	void *over_arg;
};

CX_MUST int cx_http_open(const struct cx_http_options *options, struct cx_http **ret,
			 struct cx_err *err);
/* Takes over *sock, a listening socket. Of a local one (Unix) the kernel tells who connects. */
CX_MUST int cx_http_listen(struct cx_http *http, int *sock, bool local, struct cx_err *err);
/*
 * From now on new connections get this certificate (PEM, with its key); those that are open stay as
 * they are. When they cannot be used, all is as it was. Nothing without TLS.
 */
CX_MUST int cx_http_renew(struct cx_http *http, const char *cert, const char *key,
			  struct cx_err *err);
/* Every request must have been answered. */
void cx_http_close(struct cx_http *http);

/* The second parameter of a path that has two. */
const char *cx_request_second(const struct cx_request *req);
struct cx_loop *cx_request_loop(const struct cx_request *req);
/* A query parameter, decoded; NULL when there is none. */
const char *cx_request_query(const struct cx_request *req, const char *name);
/* One that is a number, min .. max; without it *value stays as it is. */
CX_MUST int cx_request_query_u64(const struct cx_request *req, const char *name, uint64_t min,
				 uint64_t max, uint64_t *value, struct cx_err *err);
void cx_request_query_each(const struct cx_request *req, const char *name,
			   void (*each)(const char *value, void *arg), void *arg);
const char *cx_request_agent(const struct cx_request *req); /* User-Agent, or NULL */
/* "https" when it came that way, as far as we or a proxy before us know; else "http". */
const char *cx_request_scheme(const struct cx_request *req);
const char *cx_request_host(const struct cx_request *req);     /* Host, or NULL */
unsigned cx_request_connections(const struct cx_request *req); /* of all listeners */
const char *cx_request_header(const struct cx_request *req, const char *name); /* or NULL */
bool cx_request_wants_upgrade(const struct cx_request *req, const char *protocol);

/* Keys or accounts have changed: streams of those that are not good any more end now. */
void cx_request_recheck(const struct cx_request *req);

/* What the request is about, for the audit log; without it the parameter of the path. */
void cx_request_about(struct cx_request *req, const char *object);

/* What Content-Length says of the body; 0 when it is not said. */
uint64_t cx_request_announced(const struct cx_request *req);
const char *cx_request_content_type(const struct cx_request *req); /* or NULL */

/* From the handler of CX_BODY_STREAM: in is borrowed until the answer, end() or lost(). */
void cx_request_take(struct cx_request *req, struct cx_inflow *in);
/* There is room again. Harmless when nobody waits for it. */
void cx_inflow_wake(struct cx_inflow *in);

/* Answers with a JSON document, whose memory is taken over (json is left empty). */
void cx_request_answer(struct cx_request *req, unsigned status, struct cx_buf *json);
/* Answers 200 with bytes of another type, whose memory is taken over. */
void cx_request_answer_as(struct cx_request *req, const char *type, struct cx_buf *bytes);
struct cx_jsonw;
/* Answers 200 with what was written, or with why that failed. Its memory is taken over. */
void cx_request_answer_json(struct cx_request *req, struct cx_jsonw *w);
/* Answers 200 with {name: [what write() adds]}, or with why that failed. */
void cx_request_answer_list(struct cx_request *req, const char *name,
			    int (*write)(struct cx_request *req, struct cx_jsonw *w,
					 struct cx_err *err));
/* Answers with what errors.c makes of err. */
void cx_request_fail(struct cx_request *req, const struct cx_err *err);
/* The same with another HTTP status than the kind has. */
void cx_request_fail_as(struct cx_request *req, unsigned status, const struct cx_err *err);

/*
 * Answers with a body in pieces, chunked (or up to the end of the connection for HTTP/1.0). body is
 * borrowed until its closed(), which may also come when nothing could be sent.
 */
void cx_request_stream(struct cx_request *req, unsigned status, const char *type,
		       struct cx_pieces *body);
/* The same with a body of size bytes, after which read() is not called any more. */
void cx_request_stream_sized(struct cx_request *req, unsigned status, const char *type,
			     uint64_t size, struct cx_pieces *body);
/* There is something to read() again. Harmless when nobody waits for it. */
void cx_pieces_wake(struct cx_pieces *body);
/* Can the client tell a body that was cut from a whole one? */
bool cx_request_sees_cut(const struct cx_request *req);

/*
 * Over TCP, a client that acknowledges nothing of a stream for so long is gone: its machine may
 * have vanished without a word. Not for TLS, where the connection is the front's.
 */
void cx_request_bound_silence(struct cx_request *req, unsigned ms);

/* Adds a header field to the answer that was just given. */
void cx_request_say(struct cx_request *req, const char *name, const char *value);

/*
 * Answers 101. upgraded() follows exactly once: with the connection's socket, not blocking, which
 * the caller owns (it is closed before cx_upgrade_close(handle)); or with -1 and NULL when the
 * client went away instead.
 */
void cx_request_upgrade(struct cx_request *req, const char *protocol,
			void (*upgraded)(void *arg, int sock, struct cx_upgrade *handle),
			void *arg);
void cx_upgrade_close(struct cx_upgrade *handle);

#endif
