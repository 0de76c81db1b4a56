/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_OUTFILE_H
#define CX_CLI_OUTFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Where an archive goes. A regular file appears whole and under its name or not at all: it is
 * written beside it and takes its place at the end. Pipes and devices are written to directly.
 */
struct cx_outfile {
	int fd;		  /* owned */
	char *path;	  /* of the file in the end; NULL: written directly */
	char *unfinished; /* its name until then */
	off_t going;	  /* private: bytes that are on their way to the disk */
	size_t waiting;	  /* private: bytes behind them that are not */
};

/* path NULL or "-" is standard output. Refuses a terminal: an archive would only confuse it. */
CX_MUST int cx_outfile_open(struct cx_outfile *ret, const char *path, struct cx_err *err);
/* Is there something to be removed when all is broken off? */
bool cx_outfile_leaves_traces(const struct cx_outfile *out);
/* out is a struct cx_outfile, so that this can be the take of a cx_call. */
CX_MUST int cx_outfile_take(void *out, const char *bytes, size_t len, struct cx_err *err);
CX_MUST int cx_outfile_finish(struct cx_outfile *out, struct cx_err *err);
void cx_outfile_free(struct cx_outfile *out); /* removes what is not finished; for CX_AUTO() */

#endif
