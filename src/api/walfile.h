/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_WALFILE_H
#define CX_API_WALFILE_H

#include "base/err.h"

/*
 * How sqlite writes its log, state.db-wal: by itself with two system calls for each page, one of
 * them for 24 bytes. Here the frames of a transaction are gathered, and written by one call before
 * its last one counts as written: a COMMIT that has succeeded is in the file, as without this. What
 * is no frame behind the last one, and all that is read, is preceded by what waits.
 */
struct cx_walfile;

/* To be closed after the databases that were opened with it. */
CX_MUST int cx_walfile_open(struct cx_walfile **ret, struct cx_err *err);
/* For sqlite3_open_v2(). */
const char *cx_walfile_name(const struct cx_walfile *walfile);
void cx_walfile_close(struct cx_walfile *walfile); /* NULL is fine */

#endif
