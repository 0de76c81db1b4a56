/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_CONTENT_H
#define CX_AGENT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * What the host sends to be put somewhere: chunks behind their lengths, in a pipe, of which the
 * last is empty. Without that one it is not whole: the host thought better of it, or is gone
 * (CX_CONFLICT). All of this blocks.
 */
struct cx_content {
	int data;      /* borrowed */
	uint32_t left; /* of this chunk, bytes */
	bool ended;    /* the last one has come */
};

/* 1: there is more, 0: that was all. */
CX_MUST int cx_content_more(struct cx_content *c, struct cx_err *err);
/* Up to len bytes, fewer only at the end. Returns how many. */
CX_MUST ssize_t cx_content_read(struct cx_content *c, void *to, size_t len, struct cx_err *err);
/* The same into a file, whose name is for errors, where it stands. */
CX_MUST int64_t cx_content_save(struct cx_content *c, int fd, const char *name, uint64_t max,
				struct cx_err *err);

#endif
