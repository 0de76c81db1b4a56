/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FENCE_H
#define CX_API_FENCE_H

#include "base/err.h"

/*
 * Shuts the gateway in: no new privileges, not dumpable, and an allow-list of system calls without
 * execve, fork, ptrace, mounts, and without making sockets. What is not on it fails with EPERM.
 * Called once, when everything is open. The rows are fence.c's table.
 */
CX_MUST int cx_fence_close(struct cx_err *err);

#endif
