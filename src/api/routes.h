/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ROUTES_H
#define CX_API_ROUTES_H

#include <stddef.h>
#include <stdint.h>

/* Every route of the API is a row of cx_routes: what is not there does not exist. */
struct cx_request;

enum cx_scope {
	CX_SCOPE_PUBLIC, /* tells nothing and does nothing */
	CX_SCOPE_ADMIN,	 /* the Unix socket, or the admin key */
};

enum cx_body {
	CX_BODY_NONE, /* a body is read and ignored, up to CX_JSON_BODY_MAX */
	CX_BODY_JSON, /* collected in memory, up to CX_JSON_BODY_MAX */
	CX_BODY_FILE, /* written to an unnamed file as it comes, up to what the handler set */
};

enum {
	CX_JSON_BODY_MAX = 1 << 20,
	CX_PARAM_MAX = 512, /* bytes of a path parameter */
};

struct cx_route {
	const char *method;
	const char
		*path; /* "{}" is one segment, "{+}" everything to the end; one of them at most */
	enum cx_scope scope;
	enum cx_body body;
	void (*handle)(struct cx_request *req);
	const char *why;
};
extern const struct cx_route cx_routes[];
extern const size_t cx_routes_count;

/*
 * The route of a request and its parameter. NULL: *ret_status is 404, or 405 with the methods that
 * the path allows in allow (for the Allow header).
 */
const struct cx_route *cx_route_find(const char *method, const char *path,
				     char param[CX_PARAM_MAX + 1], unsigned *ret_status,
				     char allow[64]);

/* The matcher alone: does path fit pattern? Fills param ("" when the pattern has none). */
int cx_route_match(const char *pattern, const char *path, char param[CX_PARAM_MAX + 1]);

#endif
