/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_BLOBS_H
#define CX_API_BLOBS_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * The files that images came as: every document and every layer, as its bytes were, under the
 * SHA-256 of them, in the gateway's state directory. What is needed to save, push, verify and
 * repair an image is here; to run it, only its layers are needed (engine/layers.h).
 *
 *	blobs/sha256/HEX	whole, named only when its digest was seen to be that
 *	blobs/partial/HEX	a download under way; empty after every start
 *
 * A blob that no image names (api/store.h) is nobody's: cx_images_sweep() removes it. So a name
 * that a crash left behind costs nothing for long, and none has to be recorded before it is made.
 */
struct cx_blobs {
	int whole, partial; /* directories */
	struct cx_blob_hold *holds;
};

/* Blobs that somebody is about to read, one after the other; embedded in its owner. */
struct cx_blob_hold {
	uint8_t (*ids)[32]; /* the owner's; only read */
	unsigned n;
	bool wanted; /* somebody would have removed one meanwhile */
	struct cx_blob_hold *next;
};

/* Makes the directories and empties "partial". */
CX_MUST int cx_blobs_open(struct cx_blobs *ret, int state_dir, struct cx_err *err);

/* A file without a name, to be written and then kept; the caller's. */
CX_MUST int cx_blob_new(const struct cx_blobs *blobs, int *ret_fd, struct cx_err *err);
/*
 * Gives it the name of its digest, of which the caller is sure. One that is there already is as
 * good. CX_LIMIT when the disk is full.
 */
CX_MUST int cx_blob_keep(const struct cx_blobs *blobs, int fd, const uint8_t id[32],
			 struct cx_err *err);
/* The same for a small one in memory. */
CX_MUST int cx_blob_put(const struct cx_blobs *blobs, const struct cx_buf *bytes,
			const uint8_t id[32], struct cx_err *err);

/* A download to go on with: its file, whose size says how far it came. The caller's. */
CX_MUST int cx_blob_resume(const struct cx_blobs *blobs, const uint8_t id[32], int *ret_fd,
			   uint64_t *ret_size, struct cx_err *err);
/* Whole and seen to be right: moves it to its name. */
CX_MUST int cx_blob_arrived(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_err *err);
void cx_blob_give_up(const struct cx_blobs *blobs, const uint8_t id[32]);

/* For reading; the caller's. CX_NOT_FOUND. */
CX_MUST int cx_blob_open(const struct cx_blobs *blobs, const uint8_t id[32], int *ret_fd,
			 uint64_t *ret_size, struct cx_err *err);
bool cx_blob_has(const struct cx_blobs *blobs, const uint8_t id[32]);
/* A document: all of it, up to ret->max. Its digest is compared. */
CX_MUST int cx_blob_read(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_buf *ret,
			 struct cx_err *err);

/* From now on cx_blob_held() is true of each; whoever removes what is nobody's asks it. */
void cx_blobs_hold(struct cx_blobs *blobs, struct cx_blob_hold *hold);
/* Without effect on one that does not hold. */
void cx_blobs_let_go(struct cx_blobs *blobs, struct cx_blob_hold *hold);
bool cx_blob_held(const struct cx_blobs *blobs, const uint8_t id[32]);

CX_MUST int cx_blob_remove(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_err *err);

/* Every whole one, in no order. each() may remove it; it returns 0 or stops with -errno. */
CX_MUST int cx_blobs_each(const struct cx_blobs *blobs,
			  int (*each)(const uint8_t id[32], uint64_t size, void *arg,
				      struct cx_err *err),
			  void *arg, struct cx_err *err);

/* The same of the downloads, which cx_blob_give_up() removes. */
CX_MUST int cx_blobs_each_partial(const struct cx_blobs *blobs,
				  int (*each)(const uint8_t id[32], uint64_t size, void *arg,
					      struct cx_err *err),
				  void *arg, struct cx_err *err);

/* Bytes that an unprivileged process may still write there. */
CX_MUST int cx_blobs_free_bytes(const struct cx_blobs *blobs, uint64_t *ret, struct cx_err *err);

#endif
