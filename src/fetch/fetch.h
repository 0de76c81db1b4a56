/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_FETCH_H
#define CX_FETCH_FETCH_H

#include "base/buf.h"
#include "base/err.h"

/*
 * The registry transfer worker: serves proto/fetch_msgs.h on a socket until that closes.
 *
 * What it takes once it is confined: sockets to anywhere; /etc/resolv.conf, /etc/hosts and
 * /etc/nsswitch.conf to read; threads (libcurl resolves names in one of its own); sendfile(2); and
 * up to 2 * CX_FETCH_REQUESTS_MAX descriptors that it is given besides some 40 of its own. Proxies
 * are not used, so nothing of the environment matters.
 */
struct cx_fetch_ready {
	struct cx_buf ca; /* the system's certificates of authorities; empty when it has none */
};

/* Once, before the process is confined: starts libcurl, reads what is read from the host. */
CX_MUST int cx_fetch_prepare(struct cx_fetch_ready *ret, struct cx_err *err);

/* sock stays the caller's. 0: the other side closed it. An error has been told to it, if it could
 * be. */
CX_MUST int cx_fetch_run(int sock, const struct cx_fetch_ready *ready, struct cx_err *err);

#endif
