/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_SECCOMP_H
#define CX_RUNTIME_SECCOMP_H

#include "base/err.h"

/* The one door to libseccomp in this layer. */

/*
 * Compiles policy/seccomp.c's sandbox list, once per daemon: x86-64 only, other ABIs are killed,
 * what is not listed gets ENOSYS or EPERM as its row says. Returns a sealed memfd of struct
 * sock_filter[].
 */
CX_MUST int cx_seccomp_compile(struct cx_err *err);

#endif
