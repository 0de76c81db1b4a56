/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_TERM_H
#define CX_CLI_TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "base/err.h"

struct cx_term { /* zeroed: no terminal was changed */
	int fd;
	bool changed;
	struct termios saved;
};

/* Puts the terminal fd (borrowed) into raw mode: every key goes through as a byte. */
CX_MUST int cx_term_raw(struct cx_term *term, int fd, struct cx_err *err);
/* Lets a line be typed unseen. */
CX_MUST int cx_term_hide(struct cx_term *term, int fd, struct cx_err *err);
void cx_term_restore(struct cx_term *term); /* for CX_AUTO(); idempotent */

/* 24 x 80 when fd is no terminal or does not know. */
void cx_term_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols);

#endif
