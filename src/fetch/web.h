/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_WEB_H
#define CX_FETCH_WEB_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Exchanges with HTTP servers, several at a time; the door to libcurl of this layer. HTTP/1.1 only,
 * so that each exchange has a connection to itself. Redirects are not followed: who asked sees
 * them, and decides whether its credentials go along. No cookies, no .netrc, no proxy, no content
 * encoding. Certificates are always checked.
 */
enum {
	CX_WEB_URL_MAX = 8192, /* with the NUL, as all sizes here */
	CX_WEB_HEADER_MAX = 4096,
	CX_WEB_WORDS_MAX = 4096,
	CX_WEB_HEADERS_MAX = 64 << 10, /* all headers of an answer together */
	CX_WEB_CONNECT_S = 10,
};

enum cx_web_method { CX_WEB_GET, CX_WEB_HEAD, CX_WEB_POST, CX_WEB_PUT };

/* How an exchange ended. */
enum cx_web_end {
	CX_WEB_ANSWERED,
	CX_WEB_NO_NAME,	  /* the host's name has no address */
	CX_WEB_REFUSED,	  /* no connection; errnum may say why */
	CX_WEB_SILENT,	  /* no connection in time, or nothing came for too long */
	CX_WEB_CUT,	  /* the connection broke */
	CX_WEB_UNTRUSTED, /* the certificate */
	CX_WEB_NOT_TLS,	  /* the other side does not speak TLS */
	CX_WEB_TLS,	  /* it does, but there was no agreement */
	CX_WEB_BAD_URL,	  /* not an http or https URL, or not one that is allowed here */
	CX_WEB_NONSENSE,  /* what came is not HTTP, or too much of it */
	CX_WEB_STOPPED,	  /* by the sink */
	CX_WEB_LOCAL,	  /* the body's file could not be read, or memory ran out */
	CX_WEB_END_MAX,
};

struct cx_web_answer {
	enum cx_web_end end;
	int errnum;	  /* of a connection that failed, or 0 */
	char detail[256]; /* libcurl's words, for ends other than ANSWERED */
	unsigned status;  /* 0: no answer */
	bool has_length;
	uint64_t length; /* of the body, as announced */
	uint64_t retry_after_s;
	/* Headers; "" when missing or longer than this. Several challenges stand in one list. */
	char challenge[CX_WEB_HEADER_MAX];
	char location[CX_WEB_URL_MAX];
	char content_type[256], content_range[128], digest[256];
	/* What came with a status that is not 200 or 206, cut at the end. */
	char words[CX_WEB_WORDS_MAX];
	size_t words_len;
};

struct cx_web_call;

/* Strings are copied; ca and the file must outlive the exchange. */
struct cx_web_plan {
	enum cx_web_method method;
	const char *url;
	bool plain;		   /* http is allowed besides https */
	const struct cx_buf *ca;   /* certificates to trust, PEM */
	const char *authorization; /* the header's value; NULL: none */
	const char *accept;	   /* the same */
	const char *content_type;  /* of what is sent */
	const char *form;	   /* POST: the body; NULL: empty */
	int file;		   /* PUT: the body is its first file_bytes */
	uint64_t file_bytes;
	uint64_t from;	  /* GET: wanted is what is behind so many bytes */
	unsigned total_s; /* the whole exchange; 0: no limit */
	unsigned stall_s; /* without a byte in either direction */
	/* Gets the body of a 200 or 206 in pieces; false stops. NULL: it counts as words. */
	bool (*sink)(struct cx_web_call *call, const void *data, size_t len);
	void (*done)(struct cx_web_call *call); /* once, from cx_web_turn(), answer is filled in */
};

struct cx_web_call { /* embedded in its owner; zeroed: none */
	struct cx_web_answer answer;
	uint64_t sent;	    /* bytes of the file */
	struct cx_web *web; /* private from here */
	void *easy, *headers;
	size_t header_bytes, words_bytes;
	int file;
	uint64_t file_bytes, file_at;
	bool (*sink)(struct cx_web_call *call, const void *data, size_t len);
	void (*done)(struct cx_web_call *call);
};

struct cx_web;

/* Once in a process, before any other thread or confinement. */
CX_MUST int cx_web_prepare(struct cx_err *err);

CX_MUST int cx_web_open(struct cx_web **ret, struct cx_err *err);
void cx_web_close(struct cx_web *web); /* with no call left; NULL is fine */
CX_DEFINE_AUTO(struct cx_web *, cx_web_close);

/* 0: done() will come, unless cx_web_stop() does before. */
CX_MUST int cx_web_start(struct cx_web *web, struct cx_web_call *call,
			 const struct cx_web_plan *plan, struct cx_err *err);
void cx_web_stop(struct cx_web_call *call); /* no done(); idempotent */

/* Moves what can be moved without waiting. Returns how many exchanges ended. */
CX_MUST int cx_web_turn(struct cx_web *web, struct cx_err *err);
/* Waits until a turn would do something, one of fds is ready, or the time is up. */
CX_MUST int cx_web_wait(struct cx_web *web, struct pollfd *fds, unsigned n, int timeout_ms,
			struct cx_err *err);

/* ---- URLs ------------------------------------------------------------------------------------ */

struct cx_origin {
	bool tls;
	char host[256]; /* lower case */
	char port[8];
};
/* Of an absolute http or https URL; one that carries a user or password is refused. */
CX_MUST int cx_origin_of(const char *url, struct cx_origin *ret, struct cx_err *err);
/* How people write it: "host", or "host:port" if the port is not that of the scheme. */
enum { CX_ORIGIN_NAME_SIZE = 256 + 8 };
void cx_origin_name(const struct cx_origin *origin, char ret[CX_ORIGIN_NAME_SIZE]);
bool cx_origin_same(const struct cx_origin *a, const struct cx_origin *b);

/* What location means in an answer to base. */
CX_MUST int cx_url_join(const char *base, const char *location, char ret[CX_WEB_URL_MAX],
			struct cx_err *err);

/* Adds "name=value", escaped, to what may become a query or a form. */
CX_MUST int cx_form_add(struct cx_buf *form, const char *name, const char *value,
			struct cx_err *err);
/* Adds a query behind "?", or "&" if there is one. */
CX_MUST int cx_url_query(char url[CX_WEB_URL_MAX], const struct cx_buf *query, struct cx_err *err);

#endif
