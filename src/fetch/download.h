/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_DOWNLOAD_H
#define CX_FETCH_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * What comes in: bytes in order into a file, hashed on the way, and out again through a pipe as
 * fast as its reader takes them. A pure matter of descriptors; knows of no network.
 */
struct cx_download { /* cx_download_close() when done; all zero is none */
	bool open;
	int file, pipe; /* ours; -EBADF: no pipe, or nobody reads it any more */
	uint64_t max;	/* bytes that may come in all */
	uint64_t begin; /* bytes of the file that are still to be hashed */
	uint64_t have;	/* bytes in the file, hashed */
	uint64_t piped;
	uint64_t skip; /* bytes to come that we have already */
	void *hash;
};

/* Takes over both descriptors, also on failure. The first "begin" bytes are in the file already. */
CX_MUST int cx_download_open(struct cx_download *ret, int file, int pipe, uint64_t max,
			     uint64_t begin, struct cx_err *err);
void cx_download_close(struct cx_download *d); /* idempotent */

/* Hashes some of what was in the file at the beginning. 1: there is more; 0: that was all. */
CX_MUST int cx_download_rehash(struct cx_download *d, struct cx_err *err);

/* The next bytes. CX_INVALID when they are more than there may be. */
CX_MUST int cx_download_add(struct cx_download *d, const void *data, size_t len,
			    struct cx_err *err);

/* Back to nothing; not possible (false) once bytes went into the pipe. */
CX_MUST bool cx_download_restart(struct cx_download *d);

/* The digest of all that is there. Once; then only the pipe is left to serve. */
CX_MUST int cx_download_digest(struct cx_download *d, uint8_t ret[32], struct cx_err *err);

/* Moves what the pipe takes. True: there is more for it when it is writable again. */
bool cx_download_pump(struct cx_download *d);

#endif
