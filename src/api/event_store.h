/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EVENT_STORE_H
#define CX_API_EVENT_STORE_H

#include "api/store.h"

/*
 * Every change of a sandbox's status, written by the database itself with the row that changes
 * (schema.c): so each is there once, in order, whoever dies. Numbers only grow and are never used
 * twice. At least the newest CX_EVENTS_KEPT are kept, and the last one of each sandbox that lives.
 */
enum { CX_EVENTS_KEPT = 20000 };

#define CX_EVENT_COLUMNS(C)                  \
	C(integer, seq)                      \
	C(integer, time_ms)                  \
	C(text, id)                          \
	C(text, name)                        \
	C(text, image)                       \
	C(text, status)                      \
	C(text, error_type)                  \
	C(text, error_message)               \
	C(integer, exit_code) /* -1: none */ \
	C(text, oom_report)                  \
	C(text, team_id)                     \
	C(text, user_id)

struct cx_event_row {
	CX_EVENT_COLUMNS(CX_COLUMN)
};
void cx_event_row_clear(struct cx_event_row *row); /* for CX_AUTO() */

struct cx_event_range {
	int64_t after, last; /* numbers: after < seq <= last */
	bool living;	     /* of each sandbox that lived at `last` the last one only */
	int64_t limit;
};
/* In their order. each() must not list events; it returns 0, or stops the walk with -errno. */
CX_MUST int cx_store_event_each(struct cx_store *store, const struct cx_event_range *range,
				int (*each)(const struct cx_event_row *row, void *arg,
					    struct cx_err *err),
				void *arg, struct cx_err *err);
/* 0: there has been none. */
CX_MUST int cx_store_event_last(struct cx_store *store, int64_t *ret, struct cx_err *err);

#endif
