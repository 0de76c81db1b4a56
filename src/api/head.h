/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_HEAD_H
#define CX_API_HEAD_H

#include "api/framing.h"
#include "base/buf.h"
#include "proto/wire.h"

/*
 * The gateway's door to http_parser: the head of a request or an answer that goes through an
 * exposed port, taken apart, checked, and written anew. What goes on is made of checked names and
 * values and ends where ours ends, so that nobody behind us can see another message in it than we
 * do.
 */
enum { CX_HEAD_MAX = 64 << 10, CX_HEAD_FIELDS_MAX = 128 };

struct cx_head_field {
	struct cx_str name, value;
};

struct cx_head { /* its texts point into what was parsed, unless they are constants */
	struct cx_str method, target;
	unsigned status; /* of an answer, 100 - 999 */
	struct cx_str reason;
	bool old;	       /* HTTP/1.0 */
	struct cx_str upgrade; /* what the connection is to become; empty: it stays what it is */
	struct cx_str host;
	struct cx_framing framing;
	struct cx_head_field fields[CX_HEAD_FIELDS_MAX];
	unsigned nfields;
};

/* Bytes of the head with the empty line behind it; 0: that has not come yet. */
size_t cx_head_end(const char *bytes, size_t len);

/* Exactly one head. CX_INVALID: it is none, or it is not clear where its body ends; CX_LIMIT: it
 * has more than CX_HEAD_FIELDS_MAX fields. */
CX_MUST int cx_head_parse_request(const char *bytes, size_t len, struct cx_head *ret,
				  struct cx_err *err);
/* no_body: of a request with the method HEAD. */
CX_MUST int cx_head_parse_answer(const char *bytes, size_t len, bool no_body, struct cx_head *ret,
				 struct cx_err *err);

/*
 * Adds the head to out, as it goes on: without what concerns one connection only. The request says
 * where it came from in X-Forwarded-For, -Proto and -Host, which are ours alone to say, and that no
 * other will follow; an answer that is the last (status 101 and from 200 on) says the latter too.
 */
CX_MUST int cx_head_write_request(const struct cx_head *head, const char *client,
				  const char *protocol, struct cx_buf *out, struct cx_err *err);
CX_MUST int cx_head_write_answer(const struct cx_head *head, struct cx_buf *out,
				 struct cx_err *err);

#endif
