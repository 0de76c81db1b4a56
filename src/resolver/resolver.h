/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_RESOLVER_H
#define CX_RESOLVER_RESOLVER_H

#include "base/err.h"

/*
 * All of caisson-resolver: serves the descriptors of proto/resolver_msgs.h until caissond or the
 * gateway is gone, which is a success, or one of them breaks the protocol. It opens no file; what
 * it asks of the kernel are IP sockets of the host's network namespace.
 */
enum { CX_RESOLVER_WAIT_MS = 5000 /* at most, for the gateway to tell the names */ };

CX_MUST int cx_resolver_run(struct cx_err *err);

#endif
