/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXECROW_H
#define CX_API_EXECROW_H

#include "api/command.h"
#include "api/exec_store.h"
#include "api/outcopy.h"

/* The record of a command: made of what was asked for and how it ended; told as JSON. */
enum { CX_EXEC_SHOWN_MAX = 256 }; /* bytes of the command */

/* What is known of one before it runs; without an id of the client's it gets one. */
CX_MUST int cx_exec_row_begin(struct cx_exec_row *row, const char *sandbox,
			      const struct cx_exec_spec *spec, struct cx_err *err);
/* CX_CONFLICT when row is not of what spec asks for. */
CX_MUST int cx_exec_row_compare(const struct cx_exec_row *row, const struct cx_exec_spec *spec,
				struct cx_err *err);

/* Where it is counted: written when it has started, and read by who goes on with it. */
CX_MUST int cx_exec_row_set_mark(struct cx_exec_row *row, const struct cx_accounts_mark *mark,
				 struct cx_err *err);
struct cx_accounts_mark cx_exec_row_mark(const struct cx_exec_row *row); /* zeroed: not known */

/* It has ended like that: its output is there already. why: what more there is to say; copy: of its
 * output; each may be NULL. */
CX_MUST int cx_exec_row_end(struct cx_exec_row *row, const struct cx_result *end, uint32_t pid,
			    const struct cx_err *why, const struct cx_outcopy *copy,
			    struct cx_err *err);
CX_MUST int cx_exec_row_put(struct cx_gateway *gw, const struct cx_exec_row *row,
			    struct cx_err *err);
/* Of one that has ended; kept, but not at once in the database (later.h). */
CX_MUST int cx_exec_row_put_later(struct cx_gateway *gw, const struct cx_exec_row *row,
				  struct cx_err *err);

/* As the answer to a command that was waited for. */
CX_MUST int cx_exec_row_answer(const struct cx_exec_row *row, struct cx_buf *json,
			       struct cx_err *err);
/* Members of the open object: id, status, command, times, reason. */
void cx_exec_row_write(struct cx_jsonw *w, const struct cx_exec_row *row);

#endif
