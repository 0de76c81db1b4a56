/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_STATEFILE_H
#define CX_BASE_STATEFILE_H

#include "base/err.h"

/*
 * Replaces a small file whole: a reader sees the old bytes or the new ones, also after a crash or a
 * power cut (fsync of file and directory).
 */
CX_MUST int cx_statefile_save(int dirfd, const char *name, const void *data, size_t len,
			      struct cx_err *err);

#endif
