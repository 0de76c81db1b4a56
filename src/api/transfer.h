/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_TRANSFER_H
#define CX_API_TRANSFER_H

#include "api/gateway.h"
#include "proto/fetch_msgs.h"

/*
 * One registry, as one worker of caissond's (caisson-fetch) speaks with it: what is asked here goes
 * there, and nothing of it blocks. proto/fetch_msgs.h says what each request means, what may be
 * believed of its answer (nothing), and what is left in a file after a failure.
 *
 * Who asks embeds a struct cx_transfer_call with done (and perhaps progress) set. done() comes
 * exactly once, never inside the function that asked, unless cx_transfer_forget() or
 * cx_transfer_close() was called first; both may be called inside of it. When the worker ends or
 * breaks the protocol, every call fails, and so does whatever is asked afterwards: open another.
 */
struct cx_transfer;

struct cx_transfer_answer {    /* valid in done() only */
	enum cx_fetch_how how; /* on success, as are the next ones */
	uint64_t size;	       /* of the document or blob, bytes */
	uint8_t digest[32];    /* its SHA-256, as the worker says */
	char media_type[CX_FETCH_TYPE_MAX + 1];
	char claimed[CX_FETCH_REFERENCE_MAX + 1];
	char endpoint[262];	     /* host that it came from or went to */
	enum cx_fetch_reason reason; /* on failure, as is the next one */
	unsigned http_status;	     /* 0: none */
};

struct cx_transfer_call {
	/* err is NULL on success; answer never is. */
	void (*done)(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
		     const struct cx_err *err);
	/* At most five a second; may be NULL. total is 0 while it is not known. */
	void (*progress)(struct cx_transfer_call *call, uint64_t bytes, uint64_t total);
	struct cx_transfer *transfer; /* private from here */
	uint32_t request;
	struct cx_transfer_call *next, **link;
};

/*
 * endpoints: mirrors in the order to be tried, the registry last; copied, and wiped once sent. The
 * worker starts meanwhile: that it cannot is heard from the first call.
 */
CX_MUST int cx_transfer_open(struct cx_gateway *gw, const struct cx_msg_fetch_endpoint *endpoints,
			     unsigned n, struct cx_transfer **ret, struct cx_err *err);
/* The same for where the image of ref is, or goes to; login as for cx_registries_find(). */
CX_MUST int cx_transfer_open_for(struct cx_gateway *gw, const struct cx_ref *ref,
				 const struct cx_login *login, struct cx_transfer **ret,
				 struct cx_err *err);
/* Ends the worker, whatever it is doing; no callback follows. NULL is fine. */
void cx_transfer_close(struct cx_transfer *transfer);

/* done() comes soon, with CX_FETCH_CANCELLED unless it was too late. */
void cx_transfer_cancel(struct cx_transfer_call *call);
/* The same without done(). Its files may still be written to until the transfer is closed. */
void cx_transfer_forget(struct cx_transfer_call *call);

/*
 * 0: done() will come. -errno: it will not. Descriptors are borrowed; at most
 * CX_FETCH_REQUESTS_MAX calls at once, CX_LIMIT beyond.
 */
CX_MUST int cx_transfer_login(struct cx_transfer *transfer, struct cx_transfer_call *call,
			      struct cx_err *err);
/* file: empty, for the document. */
CX_MUST int cx_transfer_manifest(struct cx_transfer *transfer, const char *repository,
				 const char *reference, uint32_t max_bytes, int file,
				 struct cx_transfer_call *call, struct cx_err *err);
/* offset: bytes that file has already. pipe: a write end that gets the bytes too, or -EBADF. */
CX_MUST int cx_transfer_blob(struct cx_transfer *transfer, const char *repository,
			     const uint8_t digest[32], uint64_t size, uint64_t offset, int file,
			     int pipe, struct cx_transfer_call *call, struct cx_err *err);
/* from: a repository of the same registry that may have it; "" is none. */
CX_MUST int cx_transfer_put_blob(struct cx_transfer *transfer, const char *repository,
				 const uint8_t digest[32], uint64_t size, const char *from,
				 int file, struct cx_transfer_call *call, struct cx_err *err);
CX_MUST int cx_transfer_put_manifest(struct cx_transfer *transfer, const char *repository,
				     const char *reference, const char *media_type, int file,
				     struct cx_transfer_call *call, struct cx_err *err);

#endif
