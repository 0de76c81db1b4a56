/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_EROFS_H
#define CX_IMAGE_EROFS_H

#include "image/entries.h"

/*
 * Lays a stream of entries out as an EROFS image (Linux Documentation/filesystems/erofs.rst and
 * fs/erofs/erofs_fs.h): uncompressed, 4 KiB blocks, extended inodes, for Linux 5.4 and later.
 *
 *	block 0		superblock at 1024, the root's inode behind it
 *	then		as the entries come, contents of files in whole blocks, and among them areas
 *			of inodes, each with its attributes and, when it is short, what is left of
 *			its content or link target
 *	at the end	inodes of directories and whiteouts, then what of directories did not fit
 *			behind them
 *
 * Files of equal content share their blocks; short ones do from the third on. The same entries give
 * the same bytes. Memory holds names and attributes, no contents, and two buffers.
 */
struct cx_erofs;

struct cx_erofs_limits {
	uint64_t max_bytes;   /* of the image */
	uint64_t max_entries; /* from the stream */
};

/* fd: an empty regular file, open for reading and writing; it stays the caller's. */
CX_MUST int cx_erofs_new(int fd, const struct cx_erofs_limits *limits, struct cx_erofs **ret,
			 struct cx_err *err);
void cx_erofs_free(struct cx_erofs *image);

/* Feed the bytes of an entry stream; finish writes the image's metadata. */
CX_MUST int cx_erofs_feed(struct cx_erofs *image, const void *data, size_t len, struct cx_err *err);
CX_MUST int cx_erofs_finish(struct cx_erofs *image, uint64_t *ret_size, struct cx_err *err);

#endif
