/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_WALFILE_H
#define CX_API_WALFILE_H

#include "base/err.h"

/*
 * How sqlite writes its log, state.db-wal: by itself with two system calls for each page, one of
 * them for 24 bytes. Here the frames of a transaction are gathered, and written by few calls (of
 * 128 KiB at most) before its last one counts as written: a COMMIT that has succeeded is in the
 * file, as without this. What is no frame behind the last one, and all that is read, is preceded by
 * what waits. Only for databases in locking_mode=EXCLUSIVE: what a transaction has gathered that is
 * taken back is written later, where another connection might have its own frames by then.
 */
struct cx_walfile;

/* To be closed after the databases that were opened with it. */
CX_MUST int cx_walfile_open(struct cx_walfile **ret, struct cx_err *err);
/* For sqlite3_open_v2(). */
const char *cx_walfile_name(const struct cx_walfile *walfile);
void cx_walfile_close(struct cx_walfile *walfile); /* NULL is fine */

#endif
