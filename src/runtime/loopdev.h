/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_LOOPDEV_H
#define CX_RUNTIME_LOOPDEV_H

#include "base/err.h"

/*
 * A read-only loop device over a file, for kernels that cannot mount a file by itself. It goes away
 * when its last user (the returned descriptor, later the mount) does. path receives its name.
 */
CX_MUST int cx_loopdev_open(int file, char *path, size_t size, struct cx_err *err);

#endif
