/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_OUTCOPY_H
#define CX_API_OUTCOPY_H

#include "api/boxes.h"
#include "api/jsonw.h"

/*
 * All that a command writes goes into a file inside as well, in the order in which it is read: as
 * its user, by a child of the agent, on the sandbox's disk. The file is there whole when the
 * command's end is told, or as it was before; what went wrong with it is told along and changes
 * nothing for the command. While a slow disk is behind, its output is not read.
 */
struct cx_outcopy;

enum {
	CX_OUTCOPY_WAITING_MAX = 256 << 10, /* bytes; then there is no room */
	CX_OUTCOPY_END_MS = 20000,	    /* for what is left when the command has ended */
};

/*
 * *ret is NULL when spec asks for none, which is fine below. moved() comes from the loop: there is
 * room again, or it is over.
 */
CX_MUST int cx_outcopy_start(struct cx_gateway *gw, struct cx_session *session,
			     const struct cx_exec_spec *spec, void (*moved)(void *arg), void *arg,
			     struct cx_outcopy **ret, struct cx_err *err);
/* Also without room: then it is kept. */
void cx_outcopy_add(struct cx_outcopy *copy, const void *p, size_t len);
bool cx_outcopy_has_room(const struct cx_outcopy *copy);
/* That was all. True: it is over; else moved() comes, and this is to be asked again. */
bool cx_outcopy_finish(struct cx_outcopy *copy);
/* Members of the open object, which says nothing of it when there is none. */
void cx_outcopy_write(struct cx_jsonw *w, const struct cx_outcopy *copy);
/* One that is not over leaves nothing. */
void cx_outcopy_free(struct cx_outcopy *copy);

#endif
