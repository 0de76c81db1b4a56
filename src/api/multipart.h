/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_MULTIPART_H
#define CX_API_MULTIPART_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Takes one file out of a body of multipart/form-data as it comes, in as little memory as its
 * part's headers need. Fields of other names are skipped; a second file of the name, a part without
 * end and everything that is not clear is refused.
 *
 * data() gets the file where it lies, in at most CX_MULTIPART_PIECES for what is fed at once: what
 * was held back, as it could have been a boundary, and what came now.
 */
enum {
	CX_MULTIPART_PIECES = 2,
	CX_MULTIPART_BOUNDARY_MAX = 70,
	CX_MULTIPART_HEADERS_MAX = 8192,
	CX_MULTIPART_PARTS_MAX = 64
};

struct cx_multipart {
	const char *name; /* of the file's field */
	int (*data)(void *arg, const char *p, size_t len, struct cx_err *err); /* of the file */
	void *arg;
	/* private */
	char delimiter[CX_MULTIPART_BOUNDARY_MAX + 5]; /* with CR LF in front */
	size_t len, matched;
	int state;
	bool wanted, seen; /* this part is the file; there was one */
	unsigned parts;
	struct cx_buf line;
	size_t header_bytes;
};

/* name, data and arg are set. content_type is the request's, or NULL. */
CX_MUST int cx_multipart_open(struct cx_multipart *mp, const char *content_type,
			      struct cx_err *err);
CX_MUST int cx_multipart_feed(struct cx_multipart *mp, const char *p, size_t len,
			      struct cx_err *err);
/* The body has ended: was it whole, and was there a file? */
CX_MUST int cx_multipart_end(const struct cx_multipart *mp, struct cx_err *err);
void cx_multipart_close(struct cx_multipart *mp); /* a zeroed one is fine */

#endif
