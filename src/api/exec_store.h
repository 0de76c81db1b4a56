/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXEC_STORE_H
#define CX_API_EXEC_STORE_H

#include "api/excerpt.h"
#include "api/keyfile.h"
#include "api/store.h"

/*
 * Commands and how they ended: a row from the beginning of one that goes on without its client, or
 * from the end of any other. The newest of each sandbox are kept, for a time, also when the sandbox
 * is gone.
 */
#define CX_EXEC_COLUMNS(C)                                              \
	C(text, sandbox_id)                                             \
	C(text, id)                                                     \
	C(text, digest)	       /* of what was asked for */              \
	C(integer, timeout_ms) /* 0: none */                            \
	C(integer, asked_us)   /* cx_now_us() when it was asked for */  \
	C(integer, created_ms)                                          \
	C(integer, ended_ms) /* 0: it runs, as far as is known */       \
	C(text, result)	     /* JSON object; NULL until it has ended */ \
	C(text, reason)	     /* as in result */                         \
	C(text, mark)	     /* how to go on counting it: struct cx_accounts_mark in hexadecimal */

struct cx_exec_row {
	CX_EXEC_COLUMNS(CX_COLUMN)
	char *command;		    /* its beginning, to be shown */
	struct cx_excerpt out, err; /* empty until it has ended */
};
void cx_exec_row_clear(struct cx_exec_row *row); /* for CX_AUTO() */
/* All but the output, into a zeroed one. */
CX_MUST int cx_exec_row_copy(struct cx_exec_row *to, const struct cx_exec_row *from,
			     struct cx_err *err);

/*
 * At start. What commands were and wrote may be confidential: it is sealed on the disk, under a key
 * that is copied from here.
 */
void cx_store_exec_key(struct cx_store *store, const uint8_t key[CX_KEYFILE_BYTES]);

struct cx_exec_bounds {
	int64_t kept;	  /* of one sandbox, besides those that run */
	int64_t for_ms;	  /* from their ends */
	int64_t kept_all; /* of all sandboxes */
};

/* Writes all of it, over a row of the same sandbox and id. When it has ended, old ones go. */
CX_MUST int cx_store_exec_put(struct cx_store *store, const struct cx_exec_row *row,
			      const struct cx_exec_bounds *bounds, struct cx_err *err);
/* The same, kept, but not at once in the database (later.h); of one that has ended. */
CX_MUST int cx_store_exec_put_later(struct cx_store *store, const struct cx_exec_row *row,
				    const struct cx_exec_bounds *bounds, struct cx_err *err);
CX_MUST int cx_store_exec_remove(struct cx_store *store, const char *sandbox, const char *id,
				 struct cx_err *err);
/*
 * All that run, as far as is known, in sandboxes that do not live end like that one (ended_ms,
 * reason, result, which has an exec_id that is empty).
 */
CX_MUST int cx_store_exec_settle(struct cx_store *store, const struct cx_exec_row *end,
				 struct cx_err *err);
/* 1, or 0 when there is none. */
CX_MUST int cx_store_exec_find(struct cx_store *store, const char *sandbox, const char *id,
			       struct cx_exec_row *ret, struct cx_err *err);
/*
 * The newest of a sandbox first, without their output; only those that run, or all. each() must not
 * use the store; a failure of it ends this.
 */
CX_MUST int cx_store_exec_each(struct cx_store *store, const char *sandbox, bool running,
			       int (*each)(const struct cx_exec_row *row, void *arg,
					   struct cx_err *err),
			       void *arg, struct cx_err *err);

#endif
