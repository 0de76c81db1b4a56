/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_OUTFILE_H
#define CX_IMAGE_OUTFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * A part of a file that is written mostly in order: what follows what was put last, or leaves out
 * less than a block, is gathered to writes of many pages. What was never put reads as zeros.
 * Several of them may share a descriptor when they stay out of each other's blocks.
 */
enum { CX_OUTFILE_GATHER = 1 << 18, CX_OUTFILE_BLOCK = 4096 };

struct cx_outfile {
	int fd;			/* borrowed; a regular file, open for reading and writing */
	uint64_t at, unwritten; /* unwritten: bytes that the disk was not asked to write yet */
	size_t len;
	uint8_t bytes[CX_OUTFILE_GATHER]; /* of at .. at + len */
};

void cx_outfile_init(struct cx_outfile *out, int fd);
/* len: at most CX_OUTFILE_GATHER. */
CX_MUST int cx_outfile_put(struct cx_outfile *out, uint64_t at, const void *data, size_t len,
			   struct cx_err *err);
CX_MUST int cx_outfile_flush(struct cx_outfile *out, struct cx_err *err);
/* Changes bytes that were put, wherever. */
CX_MUST int cx_outfile_patch(struct cx_outfile *out, uint64_t at, const void *data, size_t len,
			     struct cx_err *err);
/* Reads what was put. */
CX_MUST int cx_outfile_read(struct cx_outfile *out, uint64_t at, void *ret, size_t len,
			    struct cx_err *err);
/* Takes back all of the file from at on, where nobody else may have put anything. */
CX_MUST int cx_outfile_cut(struct cx_outfile *out, uint64_t at, struct cx_err *err);

#endif
