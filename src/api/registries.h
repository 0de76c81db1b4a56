/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_REGISTRIES_H
#define CX_API_REGISTRIES_H

#include "image/authfile.h"
#include "image/ref.h"
#include "proto/fetch_msgs.h"

/*
 * Where images come from: caisson-registries.conf(5) and what it names (certificates, passwords, an
 * auth.json), all read before the fence closes, and the credentials of logins, kept in auth.json of
 * the state directory (in Docker's format, of mode 0600). The door to inih of this layer.
 */
enum {
	CX_REGISTRIES_MAX = 64, /* with a section */
	CX_MIRRORS_MAX = CX_FETCH_ENDPOINTS_MAX - 1,
};

struct cx_registries;

/*
 * Reads it all. No file at path is fine unless must_exist. state_dir is borrowed. Errors name file
 * and line, and what is allowed there.
 */
CX_MUST int cx_registries_open(const char *path, bool must_exist, int state_dir,
			       struct cx_registries **ret, struct cx_err *err);
void cx_registries_close(struct cx_registries *registries); /* NULL is fine */

/* The registry of names without one. */
const char *cx_registries_default(const struct cx_registries *registries);
/* False when no registry is to be contacted at all. */
bool cx_registries_enabled(const struct cx_registries *registries);

/* One place to ask, in the words of fetch_endpoint. */
struct cx_endpoint {
	char host[CX_REF_NAME_MAX + 1];	  /* of the API: "registry-1.docker.io" */
	char prefix[CX_REF_NAME_MAX + 1]; /* in front of each repository; "" or "a/b" */
	bool plain_http, mirror;
	const struct cx_buf *ca; /* PEM, perhaps empty; the registries' */
	struct cx_login login;
};

struct cx_endpoints { /* large: not for the stack */
	unsigned n;
	struct cx_endpoint list[CX_FETCH_ENDPOINTS_MAX]; /* mirrors, then the registry */
};

/*
 * Where the image of ref is, or goes to. Credentials of the registry are those given (NULL or of
 * kind CX_LOGIN_NONE: none), or of its login, its section or the authfile; a mirror has its own.
 * CX_DENIED when registries are switched off, or when only a program could tell the password.
 */
CX_MUST int cx_registries_find(const struct cx_registries *registries, const struct cx_ref *ref,
			       const struct cx_login *given, struct cx_endpoints *ret,
			       struct cx_err *err);
/* The same as messages, as many as endpoints->n, which borrow the endpoints' memory. */
void cx_endpoints_messages(const struct cx_endpoints *endpoints,
			   struct cx_msg_fetch_endpoint ret[CX_FETCH_ENDPOINTS_MAX]);
void cx_endpoints_free(struct cx_endpoints **endpoints); /* wipes it; for CX_AUTO() */

/* Keeps or forgets the credentials of a registry (as cx_ref_host() writes it), durably. */
CX_MUST int cx_registries_login(struct cx_registries *registries, const char *host,
				const struct cx_login *login, struct cx_err *err);
/* CX_NOT_FOUND when there are none. */
CX_MUST int cx_registries_logout(struct cx_registries *registries, const char *host,
				 struct cx_err *err);
/* The logins. */
CX_MUST int cx_registries_each(const struct cx_registries *registries,
			       int (*each)(const char *host, const char *username, void *arg,
					   struct cx_err *err),
			       void *arg, struct cx_err *err);

#endif
