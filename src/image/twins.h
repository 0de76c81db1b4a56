/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_TWINS_H
#define CX_IMAGE_TWINS_H

#include "image/tree.h"

/*
 * Finds files of equal content by size and hash while they are written. The hash (XXH3, 64 bits)
 * only says where to look: whoever shares compares the bytes. The door to libxxhash.
 */
struct cx_twins;

CX_MUST int cx_twins_new(struct cx_twins **ret, struct cx_err *err);
void cx_twins_free(struct cx_twins *twins); /* NULL is fine */

/* A file begins; then its data, in order. */
void cx_twins_begin(struct cx_twins *twins);
void cx_twins_data(struct cx_twins *twins, uint64_t offset, const void *data, size_t len);

/*
 * The file's data was all: the added file that most likely holds the same, NULL when there is none
 * or when the file has holes, whose comparison could cost more than they do. Sets file->hash.
 */
struct cx_inode *cx_twins_find(struct cx_twins *twins, struct cx_inode *file);
/* From now on this one is found; after cx_twins_find() of the same file. */
void cx_twins_add(struct cx_twins *twins, struct cx_inode *file);

#endif
