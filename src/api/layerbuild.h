/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_LAYERBUILD_H
#define CX_API_LAYERBUILD_H

#include "api/gateway.h"
#include "api/workers.h"

/*
 * One layer out of one archive: two workers of caissond's take it apart and lay it out; what they
 * report is compared with what was expected; the result waits under a token to be committed or
 * dropped. Embedded in its owner, zeroed, with done set; or on its own, and taken over later by who
 * sets done then, and has to look whether it is built already.
 */
struct cx_layer_build {
	void (*done)(struct cx_layer_build *build, const struct cx_err *err); /* once; or NULL */
	/* Set by who starts it: the archive's digest is found elsewhere; the reader's is zeros. */
	bool blob_is_known;
	void *owner;	       /* whoever set done */
	bool built;	       /* done() was due */
	struct cx_err why;     /* it failed; errnum 0: it did not */
	struct cx_gateway *gw; /* private */
	uint64_t token;	       /* 0: none */
	/* when it is done */
	struct cx_workers workers; /* reports: the reader's, the writer's */
	uint64_t size_bytes;	   /* of the EROFS file */
};

/*
 * archive: a file from its beginning, or a pipe; taken over (left -EBADF). Its compression is seen
 * from its bytes. 0: done() follows.
 */
CX_MUST int cx_layer_build_start(struct cx_gateway *gw, struct cx_layer_build *build, int *archive,
				 struct cx_err *err);
/* Gives the layer its name. done() follows once more. The caller has noted it in the database. */
CX_MUST int cx_layer_build_commit(struct cx_layer_build *build, const uint8_t diff_id[32],
				  struct cx_err *err);
/* At any time; no callback follows. Idempotent. */
void cx_layer_build_drop(struct cx_layer_build *build);

#endif
