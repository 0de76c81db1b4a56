/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_HTTP_H
#define CX_CLI_HTTP_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/buf.h"

/* Where the server is: a Unix socket or a host and port. Strings are borrowed. */
struct cx_target {
	const char *path; /* NULL: TCP */
	char host[256], port[6];
	bool tls;
	const char
		*cacert; /* PEM file of who is trusted with TLS; NULL: whom this machine trusts */
	const char *key; /* API key, or NULL */
};

/*
 * socket_path and url as given by options or environment, NULL where not; a socket wins over a
 * URL. Refuses a key that no header may hold.
 */
CX_MUST int cx_target_resolve(struct cx_target *ret, const char *socket_path, const char *url,
			      const char *key, struct cx_err *err);

struct cx_call {
	const char *method;
	const char *path; /* with query, escaped by cx_http_escape() */
	const char *type; /* of the body; NULL is application/json */
	const char *body; /* NULL: none, or the upload */
	size_t body_len;
	int upload; /* a descriptor to send as the body when has_upload is set */
	bool has_upload;
	int64_t upload_size; /* -1: not known; sent in chunks */
	/* In place of read(upload): up to max bytes, 0 at the end, -errno breaks off; or NULL. */
	ssize_t (*upload_read)(void *arg, char *to, size_t max, struct cx_err *err);
	void (*upload_seen)(void *arg, const char *bytes, size_t len); /* each piece; or NULL */
	int (*upload_end)(void *arg, struct cx_err *err); /* at its end; a failure breaks off */
	void *upload_arg;
	/*
	 * Takes the body of a 2xx answer piece by piece as it comes, in place of cx_reply; -errno
	 * breaks off. The answer must say where it ends, and one that is cut before is an error.
	 */
	int (*take)(void *arg, const char *bytes, size_t len, struct cx_err *err);
	void *take_arg;
	/* A field of the answer that is a number, set before take() has a byte; or NULL. */
	const char *number;
	uint64_t *ret_number;
	bool upgrade;	/* ask for an exec stream */
	int timeout_ms; /* without any byte going either way; 0 is CX_HTTP_PATIENCE_MS */
	int signals;	/* signalfd: the second signal (with take the first) gives up; -1: none */
	int *ret_signo; /* the first signal that came, or NULL */
};

enum { CX_HTTP_PATIENCE_MS = 300 * 1000, CX_HTTP_BODY_MAX = 256 << 20 };

struct cx_reply {
	unsigned status;
	struct cx_buf body; /* after an upgrade: the first bytes of the stream */
	int sock;	    /* after an upgrade (status 101), else -EBADF */
};

/* One request on one connection. An answer of any status is a success here. */
CX_MUST int cx_http_call(const struct cx_target *target, const struct cx_call *call,
			 struct cx_reply *ret, struct cx_err *err);
void cx_reply_free(struct cx_reply *reply); /* for CX_AUTO() */

/* Appends text to out, percent-encoded but for unreserved characters and those in keep. */
CX_MUST int cx_http_escape(struct cx_buf *out, const char *text, const char *keep,
			   struct cx_err *err);

/* Appends "?key=value" or "&key=value" to a path, the value escaped; nothing when it is NULL. */
CX_MUST int cx_http_query(struct cx_buf *path, const char *key, const char *value, const char *keep,
			  struct cx_err *err);

#endif
