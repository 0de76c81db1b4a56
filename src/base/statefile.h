/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_STATEFILE_H
#define CX_BASE_STATEFILE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Replaces a small file whole: a reader sees the old bytes or the new ones, also after a crash.
 * durable: survives a power cut too (fsync of file and directory); on tmpfs it is not worth asking.
 */
CX_MUST int cx_statefile_save(int dirfd, const char *name, const void *data, size_t len,
			      bool durable, struct cx_err *err);

/* Reads what was saved, exactly len bytes or a refusal. */
CX_MUST int cx_statefile_load(int dirfd, const char *name, void *data, size_t len,
			      struct cx_err *err);

#endif
