/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_SSH_SERVER_H
#define CX_SSH_SERVER_H

#include "base/err.h"

/*
 * Speaks SSH with one client, and proto/ssh_msgs.h with the gateway, until either has gone.
 * control and client are taken over. cx_ssh_prepare() comes before the process is confined: it
 * lets the libraries load what they may want.
 */
CX_MUST int cx_ssh_prepare(struct cx_err *err);
CX_MUST int cx_ssh_serve(int control, int client, struct cx_err *err);

#endif
