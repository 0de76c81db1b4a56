/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_TAR_H
#define CX_IMAGE_TAR_H

#include "image/entries.h"

/*
 * Entries as a tar archive: ustar, with pax records where that does not suffice. The door to
 * libarchive's writer, as image/read.c is the one to its reader.
 *
 * The same entries give the same bytes: numeric owners only, no time but the modification's, no
 * number of a process or device. What becomes of an entry:
 *
 *	CX_ENTRY_WHITEOUT	an empty file .wh.NAME (OCI image-spec, layer.md)
 *	CX_ENTRY_OPAQUE		an empty file .wh..wh..opq in the directory, nothing for itself
 *	hard link		a link; mode, owner and time go along, as some readers apply them
 *	hole			zeros: where a file system keeps its holes is not content
 *	attributes		SCHILY.xattr.user.NAME, in the order of the entry
 *	nanoseconds		kept, but not of times before 1970: readers disagree about those
 *	a name ".wh.*"		refused, it would be taken for a whiteout
 *	an attribute's name with "=", "%" or anything but visible ASCII	refused: tar cannot say it
 *
 * Names are bytes. So that libarchive takes none for letters, LC_CTYPE has to be "C": those that
 *are not ASCII are then marked as of no known character set, or a reader (libarchive's) would join
 * accents with their letters.
 */
struct cx_tar;

/* fd: a blocking descriptor, which stays the caller's. max_bytes: of the archive. */
CX_MUST int cx_tar_new(int fd, uint64_t max_bytes, struct cx_tar **ret, struct cx_err *err);
void cx_tar_free(struct cx_tar *tar); /* NULL is fine */

/* In the order of an entry stream, by its rules. What a file lacks of its size becomes zeros. */
CX_MUST int cx_tar_entry(struct cx_tar *tar, const struct cx_entry *entry, struct cx_err *err);
CX_MUST int cx_tar_data(struct cx_tar *tar, uint64_t offset, const void *data, size_t len,
			struct cx_err *err);
/* Writes the end; then nothing else may come. */
CX_MUST int cx_tar_finish(struct cx_tar *tar, uint8_t ret_sha256[32], uint64_t *ret_bytes,
			  struct cx_err *err);

#endif
