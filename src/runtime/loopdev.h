/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_LOOPDEV_H
#define CX_RUNTIME_LOOPDEV_H

#include <stdint.h>

#include "base/err.h"

/*
 * A read-only loop device over a file, for kernels that cannot mount a file by itself. It goes away
 * when its last user (the returned descriptor, later the mount) does. path receives its name.
 */
CX_MUST int cx_loopdev_open(int file, char *path, size_t size, struct cx_err *err);

/*
 * The same to be written, with blocks of 4 KiB. It is marked with `name` (up to 63 bytes), by which
 * another process knows it again.
 */
CX_MUST int cx_loopdev_make(int file, const char *name, uint32_t *ret_number, char *path,
			    size_t size, struct cx_err *err);
/* -ENOENT when that device has not, or not any more, this name. */
CX_MUST int cx_loopdev_find(uint32_t number, const char *name, char *path, size_t size,
			    struct cx_err *err);

#endif
