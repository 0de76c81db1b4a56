/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SPOOL_H
#define CX_API_SPOOL_H

#include <stdbool.h>

#include "api/digest.h"
#include "image/entries.h"
#include "image/oci.h"

/*
 * The files of an outer archive as unnamed files of ours: fed by the entry stream of a scan, then
 * read by name. Nothing of the archive ever becomes a name on disk. A file called blobs/sha256/HEX
 * has that digest or the archive is refused.
 *
 * What is wrong with the archive as an image is kept in err rather than ending the scan: only the
 * scan's report says whether it is meant to be one.
 */
enum { CX_SPOOL_FILES_MAX = 1024, CX_SPOOL_LINKS_MAX = 8 };

struct cx_spool_file {
	char *name;
	char *target; /* of a link, as a name in the archive; NULL for a file */
	int fd;	      /* -EBADF for a link */
	uint64_t size;
	uint8_t id[32]; /* SHA-256 of it, when all of it has come */
};

struct cx_spool {
	/* Set by the owner, may be NULL: a file begins (0 bytes), or has that many by now. */
	void (*grown)(void *arg, const struct cx_spool_file *file, uint64_t bytes);
	void *arg;
	int dir; /* borrowed */
	uint64_t max_bytes, bytes;
	struct cx_spool_file *files;
	unsigned n;
	struct cx_spool_file *open; /* whose data comes */
	uint64_t at;
	struct cx_digest *digest;
	struct cx_err err;
	struct cx_entry_sink sink;
	struct cx_entry_decoder decoder;
};

/* Too large for a stack. dir: where unnamed files are made. */
CX_MUST int cx_spool_new(int dir, uint64_t max_bytes, struct cx_spool **ret, struct cx_err *err);
void cx_spool_free(struct cx_spool *spool); /* NULL is fine */

/* Follows links. NULL when there is no such file. */
const struct cx_spool_file *cx_spool_find(const struct cx_spool *spool, const char *name);
/* The same with the size that its descriptor says (or CX_OCI_ANY_SIZE); NULL with err set. */
CX_MUST const struct cx_spool_file *cx_spool_expect(const struct cx_spool *spool, const char *name,
						    uint64_t bytes, struct cx_err *err);
/* For cx_oci_read(); lives as long as the spool. */
struct cx_oci_source cx_spool_source(struct cx_spool *spool);

#endif
