/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_TTY_H
#define CX_AGENT_TTY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

/*
 * A terminal: the master end of a pty of the sandbox's devpts, joined to a stream socket of the
 * host. Two fixed buffers; who does not read makes the other side wait. When the host closes its
 * socket the terminal hangs up.
 */
struct cx_tty;

/*
 * Takes over *stream. *ret_slave is the command's end, O_CLOEXEC, the caller's. devpts is the root
 * of the devpts mount: no name that the sandbox can change is looked up.
 */
CX_MUST int cx_tty_open(struct cx_loop *loop, int devpts, int *stream, uint32_t rows, uint32_t cols,
			struct cx_tty **ret, int *ret_slave, struct cx_err *err);
CX_MUST int cx_tty_resize(struct cx_tty *tty, uint32_t rows, uint32_t cols, struct cx_err *err);
/* As if the user had typed it (SIGINT, SIGQUIT, SIGTSTP): to the foreground job. False for others.
 */
bool cx_tty_signal(struct cx_tty *tty, int signo);
/*
 * The command ended: what it has written still goes to the host (bounded in bytes and time), then
 * the terminal is closed and done(arg) is called, perhaps before this returns.
 */
void cx_tty_drain(struct cx_tty *tty, void (*done)(void *arg), void *arg);
void cx_tty_free(struct cx_tty *tty); /* hangs up; no done() follows; NULL is fine */

#endif
