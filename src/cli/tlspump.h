/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_TLSPUMP_H
#define CX_CLI_TLSPUMP_H

#include "base/err.h"

/* What caisson-tls inherits. */
enum { CX_TLS_FD_SOCKET = 3, CX_TLS_FD_PLAIN = 4 };

/*
 * The inside of caisson-tls: speaks TLS over the one descriptor and passes on what goes through it
 * in the clear, until either side ends. Its first byte in the clear is '+' when the other side is
 * who it should be; else it says why not, and ends with -errno. host is not changed.
 */
CX_MUST int cx_tls_pump(char *host, const char *cacert);

#endif
