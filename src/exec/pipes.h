/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_PIPES_H
#define CX_EXEC_PIPES_H

#include "base/err.h"

/*
 * The byte streams of one command. Our ends are O_NONBLOCK and O_CLOEXEC; treat what comes out of
 * them as hostile in content, length and pace. Both ends of a pipe belong to us, so every user
 * inside may still reopen it as /dev/stdout (mode 0666: only who holds the descriptor can name it).
 *
 * Without a terminal: ours[0] writes stdin (close it for end of file), ours[1] and ours[2] read
 * stdout and stderr. Both end (read gives 0) when the last process that holds them has closed them,
 * which may be long after the command exited: read what is there at "exited", then close.
 *
 * With one: ours[0] is a stream socket, both ways; ours[1] and ours[2] are -EBADF. The agent closes
 * its end when the terminal is drained, before "exited".
 */
struct cx_pipes {
	int ours[3];   /* -EBADF where there is none, or where it was taken */
	int theirs[3]; /* what goes along with the exec message */
	unsigned ntheirs;
};

/* Each leaves *ret closed when it fails. */
CX_MUST int cx_pipes_open(struct cx_pipes *ret, struct cx_err *err);
CX_MUST int cx_pipes_open_input(struct cx_pipes *ret, struct cx_err *err); /* ours[0] alone */
CX_MUST int cx_pipes_open_tty(struct cx_pipes *ret, struct cx_err *err);
/*
 * Writes all of stdin at once and closes it: the pipe holds it, so nobody has to be there later.
 * len fits into an int. CX_LIMIT when the pipe cannot be made so large; then it may have got a
 * part.
 */
CX_MUST int cx_pipes_fill(struct cx_pipes *pipes, const char *p, size_t len, struct cx_err *err);
void cx_pipes_close(struct cx_pipes *pipes); /* what is left of both sides; idempotent */
void cx_pipes_close_theirs(struct cx_pipes *pipes);

#endif
