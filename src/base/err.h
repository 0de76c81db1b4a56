/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_ERR_H
#define CX_BASE_ERR_H

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/*
 * How a failure travels. A function that can fail takes "struct cx_err *err" last and returns 0 (or
 * a descriptor, or a count) on success and -errno on failure, with *err filled in. Outputs named
 * ret_* are written on success only. err is never NULL.
 *
 * The text names the object and, for a refusal, what to do; it holds no secret and no errno string
 * (cx_err_render() adds that). Each layer that knows more than the one below wraps once.
 */

/* What a client may learn. api/errors.c maps a kind to an HTTP status, cli to an exit status. */
enum cx_kind {
	CX_INTERNAL, /* our fault, or the host's */
	CX_INVALID,  /* the request can never succeed as it stands */
	CX_DENIED,   /* understood and refused */
	CX_NOT_FOUND,
	CX_CONFLICT, /* something else has the name, or the object's state does not allow it */
	CX_LIMIT,    /* a finite resource is used up: disk, ids, descriptors, processes */
	CX_TIMEOUT,
	CX_UNAVAILABLE, /* not now: starting, stopping, or a helper process is down */
	CX_BUSY,	/* a limit of the caller's own, for the moment: end something first */
	CX_SPENT,	/* a budget of the caller's is used up for good */
	CX_KIND_MAX,
};

/* Plain data: lives on the stack, crosses a socket, never allocates. */
struct cx_err {
	int errnum;	 /* positive errno; 0: no error */
	uint8_t kind;	 /* enum cx_kind */
	uint8_t refused; /* 1: we said no; errnum only carries the kind and is not shown */
	uint16_t len;	 /* strlen(msg) */
	char msg[504];	 /* "outer: inner", truncated to fit, NUL-terminated, valid for printing */
};
static_assert(sizeof(struct cx_err) <= PIPE_BUF, "a child reports it in one atomic write");

#define CX_PRINTF(f) __attribute__((format(printf, f, f + 1), nonnull(1)))

/* Each returns -err->errnum, so "return cx_fail(err, errno, ...)" is a whole error path. */
CX_PRINTF(3) int cx_fail(struct cx_err *err, int errnum, const char *fmt, ...); /* a call failed */
CX_PRINTF(3)
int cx_refuse(struct cx_err *err, enum cx_kind kind, const char *fmt, ...); /* we say no */
CX_PRINTF(2) int cx_wrap(struct cx_err *err, const char *fmt, ...); /* adds context in front */

/* Takes over an error that arrived from another process; every field is checked. Returns -errnum.
 */
int cx_err_adopt(struct cx_err *err, uint32_t kind, uint32_t errnum, const char *msg, size_t len);

/* The message with errno's text behind it where that says something. Returns buf. */
const char *cx_err_render(const struct cx_err *err, char *buf, size_t size);

/* "invalid", "not_found", ...: the stable word of a kind, for logs and JSON. Never NULL. */
const char *cx_kind_name(unsigned kind);

#endif
