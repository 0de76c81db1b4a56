/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_LINGER_H
#define CX_API_LINGER_H

#include "base/loop.h"

/*
 * Closing a connection with bytes unread resets it, and the client may lose the answer that was
 * sent before. So a connection whose body is not wanted is read and dropped for a while, until the
 * client has closed it, too much has come or it has taken too long.
 */
struct cx_linger;

struct cx_lingers {
	struct cx_loop *loop; /* set by the owner */
	struct cx_linger *first;
	unsigned n;
};

enum {
	CX_LINGER_MAX = 64, /* connections; beyond, they are closed at once */
	CX_LINGER_MS = 5000,
	CX_LINGER_BYTES = 64 << 20,
};

/* fd: a socket whose answer has been sent; it is borrowed and duplicated, and ends for writing. */
void cx_linger_add(struct cx_lingers *all, int fd);
void cx_lingers_close(struct cx_lingers *all);

#endif
