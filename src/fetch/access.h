/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_ACCESS_H
#define CX_FETCH_ACCESS_H

#include "fetch/challenge.h"
#include "fetch/fault.h"
#include "fetch/reply.h"

/*
 * One registry or mirror: how to reach it, and how to prove to it who asks (distribution-spec with
 * Basic and Docker's token authentication). What it wants, it says when it is asked without; from
 * then on each request carries it.
 *
 * A password or identity token goes to the registry itself, and to the token service that the
 * registry names: over TLS anywhere, over plain HTTP only to the registry's own host. A token goes
 * to the registry only.
 */
enum {
	CX_ACCESS_TOKENS = 8, /* one per scope in use; the oldest makes room */
	CX_ACCESS_SCOPE_SIZE = 1280,
	CX_AUTHORIZATION_SIZE = CX_TOKEN_SIZE + 16,
};

struct cx_endpoint {
	char host[262], prefix[256];
	bool plain, mirror;
	bool down;     /* a mirror that is not worth a try any more */
	bool answered; /* it has, at least once */
	char *user, *password, *identity_token, *registry_token; /* NULL: none */
	const struct cx_buf *ca;				 /* own_ca, or the system's */
	struct cx_buf own_ca;
	struct cx_web *web;
	enum cx_scheme wants;
	char realm[2048], service[512];
	struct cx_token {
		struct cx_endpoint *of;
		enum { CX_TOKEN_NONE, CX_TOKEN_COMING, CX_TOKEN_HELD, CX_TOKEN_DENIED } state;
		char scope[CX_ACCESS_SCOPE_SIZE]; /* what we asked for: "repository:a:pull" */
		char also[1024];		  /* what the registry said was missing */
		char *value;
		uint64_t until_ms, used_ms;
		struct cx_fault why; /* of DENIED */
		struct cx_buf body;
		struct cx_web_call call;
	} tokens[CX_ACCESS_TOKENS];
};

/* Without credentials; the strings are malloc(3)ed and its own. ca must outlive it. NULL: no
 * memory. */
struct cx_endpoint *cx_endpoint_new(struct cx_web *web, const struct cx_buf *ca);
void cx_endpoint_free(struct cx_endpoint *endpoint); /* ends its exchanges; NULL is fine */
CX_DEFINE_AUTO(struct cx_endpoint *, cx_endpoint_free);

/* An address at the endpoint; path begins with "/". */
CX_MUST int cx_endpoint_url(const struct cx_endpoint *endpoint, const char *path,
			    char ret[CX_WEB_URL_MAX], struct cx_err *err);

enum cx_access { CX_ACCESS_GRANTED, CX_ACCESS_WAIT, CX_ACCESS_FAILED };

/*
 * The Authorization for a request of this scope (actions on repositories, separated by spaces; ""
 * for none), "" when none is known to be wanted. WAIT: a token is on its way, ask again after the
 * next turn.
 */
enum cx_access cx_access_header(struct cx_endpoint *endpoint, const char *scope,
				char ret[CX_AUTHORIZATION_SIZE], struct cx_fault *fault);

/*
 * A request of this scope, with "sent" as its Authorization, was answered with 401 and this
 * challenge. True: what cx_access_header() says now may do better. False with no error in fault:
 * the answer speaks for itself.
 */
bool cx_access_challenged(struct cx_endpoint *endpoint, const char *scope, const char *challenge,
			  const char *sent, struct cx_fault *fault);

/* What an Authorization proves by. */
enum cx_sent cx_access_sent(const struct cx_endpoint *endpoint, const char *authorization);

#endif
