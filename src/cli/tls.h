/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_TLS_H
#define CX_CLI_TLS_H

#include "base/err.h"

/*
 * Speaks TLS over *sock, a connected socket, which is taken over, and returns another one for what
 * goes through it in the clear: a process of our own, which ends with either side, stands between.
 * Its certificate has to be for host (a name or an address) and from who is trusted: the file
 * cacert (PEM) or, when that is NULL, whom this machine trusts. CX_DENIED when it is not.
 */
CX_MUST int cx_tls_wrap(int *sock, const char *host, const char *cacert, struct cx_err *err);

#endif
