/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_SFTP_H
#define CX_AGENT_SFTP_H

#include "base/err.h"

/*
 * Serves SFTP on two descriptors that block until the client has no more to say, as the calling
 * process's user and from its working directory. For images that have no such server, which are
 * most. It runs in a forked child (child.h): whoever speaks with it can harm nobody but themselves.
 */
CX_MUST int cx_sftp_serve(int in, int out, struct cx_err *err);

#endif
