/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ROUTE_H
#define CX_API_ROUTE_H

#include <stddef.h>

/* A route of the API is a row of one of cx_route_tables (routes.h). */
struct cx_request;

enum cx_scope {
	CX_SCOPE_PUBLIC,  /* tells nothing and does nothing */
	CX_SCOPE_USER,	  /* any account; which sandboxes it may use, access.h knows */
	CX_SCOPE_SANDBOX, /* the same, or a token of the sandbox that the path names */
	CX_SCOPE_ADMIN,	  /* the Unix socket, or the admin key */
};

enum cx_body {
	CX_BODY_NONE,	/* a body is read and ignored, up to CX_JSON_BODY_MAX */
	CX_BODY_JSON,	/* collected in memory, up to CX_JSON_BODY_MAX */
	CX_BODY_LONG,	/* the same, up to CX_LONG_BODY_MAX: a document that carries a file */
	CX_BODY_CALL,	/* the same, up to CX_CALL_BODY_MAX: bytes that are no JSON document */
	CX_BODY_FILE,	/* written to an unnamed file as it comes, up to what the options say */
	CX_BODY_COMES,	/* the same, but the handler is called before, and sets whole() */
	CX_BODY_STREAM, /* the handler is called before and takes it as it comes (http.h) */
};

enum {
	CX_JSON_BODY_MAX = 1 << 20,
	CX_STREAM_BODY_MAX = (200 << 20) + (64 << 10), /* a file (files.h) and what is around it */
	CX_LONG_BODY_MAX = 16 << 20,
	CX_CALL_BODY_MAX = 5 << 20,
	CX_PARAM_MAX = 512, /* bytes of the parameters of a path */
};

/* Of CX_BODY_STREAM with "kind=tar", many files: as good as none, their disk bounds them. */
#define CX_ARCHIVE_BODY_MAX (UINT64_C(1) << 40)

struct cx_route {
	const char *method;
	const char
		*path; /* "{}" is one segment, "{+}" everything to the end; two of them at most */
	enum cx_scope scope;
	enum cx_body body;
	void (*handle)(struct cx_request *req);
	const char *why;
};

struct cx_route_table { /* of one personality */
	const struct cx_route *rows;
	size_t count;
};

#endif
