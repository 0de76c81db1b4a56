/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FLOW_H
#define CX_API_FLOW_H

#include "api/http.h"

/*
 * Answers that come bit by bit, with status 200: events as lines of JSON (application/x-ndjson), or
 * the bytes of a pipe. A flow begins as an answer does (once, at once or later) and is ended by its
 * owner exactly once, by cx_flow_last(), cx_flow_end(), cx_flow_fail() or cx_flow_cut(); it frees
 * itself when all is sent and is the owner's no more.
 *
 * gone(arg) comes at most once and never after the end: the client has left, or took nothing for
 * ten minutes. What is added from then on is thrown away; the owner ends the flow all the same,
 * soon, also in gone() itself. Nothing here calls gone() but the loop.
 */
struct cx_flow;

enum {
	CX_FLOW_PASSING_MAX = 256 << 10, /* bytes that wait for a slow client */
	CX_FLOW_QUEUE_MAX = 1 << 20,
	CX_FLOW_LAST_MAX = 8 << 20,
};

/* -errno: nothing is answered. */
CX_MUST int cx_flow_lines(struct cx_request *req, void (*gone)(void *arg), void *arg,
			  struct cx_flow **ret, struct cx_err *err);

/*
 * One JSON document without a line's end. A passing one is followed by others that say more, like
 * progress: it is dropped while CX_FLOW_PASSING_MAX bytes wait, any other above CX_FLOW_QUEUE_MAX.
 */
void cx_flow_line(struct cx_flow *flow, const char *json, size_t len, bool passing);

/* Whether a passing line would be taken. */
bool cx_flow_has_room(const struct cx_flow *flow);

/* The last line, at most CX_FLOW_LAST_MAX bytes, never dropped; and the end. */
void cx_flow_last(struct cx_flow *flow, const char *json, size_t len);

/* The same with {"status": "error", "detail", "code"}; over a pipe it is cx_flow_cut(). */
void cx_flow_fail(struct cx_flow *flow, const struct cx_err *err);

/*
 * What comes from *pipe up to its end, taken over and made non-blocking. Bytes are read as fast as
 * the client takes them. The answer ends when both the pipe and the owner say so: after the pipe's
 * end it waits for the owner's word. Refused for a client of HTTP/1.0, which could not tell a body
 * that was cut from a whole one. -errno: nothing is answered, *pipe is still the caller's.
 */
CX_MUST int cx_flow_pipe(struct cx_request *req, const char *type, int *pipe,
			 void (*gone)(void *arg), void *arg, struct cx_flow **ret,
			 struct cx_err *err);

/* All went well; what is still in the pipe is sent. */
void cx_flow_end(struct cx_flow *flow);
/* It did not: the connection is cut without the body's end, and the client sees it. */
void cx_flow_cut(struct cx_flow *flow);

#endif
