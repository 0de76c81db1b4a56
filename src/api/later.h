/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_LATER_H
#define CX_API_LATER_H

#include "base/loop.h"
#include "proto/wire.h"

/*
 * Rows that have to be kept and that nobody waits to read: the audit log, and ends of commands that
 * were answered. Each goes into the file "later" of the state directory by one write, before
 * anybody is answered, so it outlives the gateway; and CX_LATER_MS afterwards, with all that came
 * meanwhile, in one transaction into the database. (A transaction for each costs some fifty system
 * calls.) Who reads such rows has them written first. The next gateway begins with what it finds in
 * the file.
 */
struct cx_store;

enum { CX_LATER_MS = 20 };

/* Parameters of a statement, in order; views. */
enum { CX_PARAMS_MAX = 20 };
struct cx_param {
	enum { CX_PARAM_NULL, CX_PARAM_NUMBER, CX_PARAM_TEXT, CX_PARAM_BLOB } type;
	uint64_t number; /* a signed one's bits */
	struct cx_str bytes;
};
struct cx_params {
	struct cx_param at[CX_PARAMS_MAX];
	unsigned n;
};
void cx_params_number(struct cx_params *params, int64_t number);
void cx_params_text(struct cx_params *params, const char *text); /* may be NULL */
void cx_params_blob(struct cx_params *params, const void *p, size_t len);

enum cx_later_kind { CX_LATER_AUDIT, CX_LATER_EXEC, CX_LATER_KINDS };

/*
 * Opens (or makes) the file below dir and writes what is in it into the database, now or when that
 * can be written again. Before, and where it never happens, rows are written at once. The loop
 * outlives the store.
 */
CX_MUST int cx_later_open(struct cx_store *store, int dir, struct cx_loop *loop,
			  struct cx_err *err);
CX_MUST int cx_later_put(struct cx_store *store, enum cx_later_kind kind,
			 const struct cx_params *params, struct cx_err *err);
/* Writes all of them into the database. */
CX_MUST int cx_later_run(struct cx_store *store, struct cx_err *err);
/* The same; what cannot be written stays in the file. */
void cx_later_close(struct cx_store *store);

#endif
