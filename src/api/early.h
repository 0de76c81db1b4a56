/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EARLY_H
#define CX_API_EARLY_H

#include "api/layerbuild.h"
#include "api/spool.h"

/*
 * Layers of an archive that are built while it comes, before its documents say that they are
 * layers: a file that is larger than any document is nothing else. What is built this way and not
 * taken in the end was in vain: a layer of another platform, say, or one that is there already.
 */
struct cx_early;

CX_MUST int cx_early_new(struct cx_gateway *gw, struct cx_early **ret, struct cx_err *err);
void cx_early_free(struct cx_early *early); /* and the builds that nobody took; NULL is fine */

/* The file has that many of its bytes. What cannot be begun here is built later, as others are. */
void cx_early_grown(struct cx_early *early, const struct cx_spool_file *file, uint64_t bytes);

/*
 * The build of that file, which may have been done; the caller's then. It depends on *early until
 * it is done. NULL when there is none, or it has failed: it may have waited too long for its file,
 * and what is wrong with the file itself shows again.
 */
struct cx_layer_build *cx_early_take(struct cx_early *early, const struct cx_spool_file *file);

#endif
