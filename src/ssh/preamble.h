/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_SSH_PREAMBLE_H
#define CX_SSH_PREAMBLE_H

#include "base/err.h"

/*
 * The line that Prime's newest client sends before SSH begins: "PRIME-SSH-SESSION <id>\n", with or
 * without '\r'. The id says nothing that the user name of SSH does not say again, so it is only
 * checked for its form. What begins with another letter is SSH from the first byte on.
 */
enum { CX_PREAMBLE_ID_MAX = 64 };

struct cx_preamble { /* zeroed: nothing was read */
	unsigned at, id_len;
	int carriage_return;
};

/* 1: the line has ended with c; 0: it goes on; -errno: it is none. */
CX_MUST int cx_preamble_take(struct cx_preamble *preamble, char c, struct cx_err *err);

/*
 * Takes the line from a connection if one comes, and not a byte more. 0 when SSH can begin.
 * deadline_ms: of cx_now_ms().
 */
CX_MUST int cx_preamble_read(int sock, uint64_t deadline_ms, struct cx_err *err);

#endif
