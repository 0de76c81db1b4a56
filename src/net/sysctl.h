/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_SYSCTL_H
#define CX_NET_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "policy/policy.h"

/*
 * Writes the rows that are for a network with or without IPv6, in their order, into the files below
 * dir; those of /proc/sys/net are the caller's network namespace's. Files of IPv6 that this kernel
 * lacks may be missing without it. err->msg names the file.
 */
CX_MUST int cx_sysctl_write(const char *dir, const struct cx_sysctl_row *rows, size_t n, bool ip6,
			    struct cx_err *err);

#endif
