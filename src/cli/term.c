/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/term.h"

#include <errno.h>
#include <sys/ioctl.h>

static int change(struct cx_term *term, int fd, void (*how)(struct termios *mode),
		  struct cx_err *err)
{
	struct termios mode;

	if (tcgetattr(fd, &term->saved) < 0)
		return cx_fail(err, errno, "read the terminal's settings");
	mode = term->saved;
	how(&mode);
	if (tcsetattr(fd, TCSADRAIN, &mode) < 0)
		return cx_fail(err, errno, "set the terminal's mode");
	term->fd = fd;
	term->changed = true;
	return 0;
}

int cx_term_raw(struct cx_term *term, int fd, struct cx_err *err)
{
	return change(term, fd, cfmakeraw, err);
}

static void hide(struct termios *mode)
{
	mode->c_lflag &= ~(tcflag_t)ECHO;
	mode->c_lflag |= ECHONL;
}

int cx_term_hide(struct cx_term *term, int fd, struct cx_err *err)
{
	return change(term, fd, hide, err);
}

void cx_term_restore(struct cx_term *term)
{
	if (term->changed)
		(void)tcsetattr(term->fd, TCSADRAIN, &term->saved);
	term->changed = false;
}

void cx_term_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize ws = { 0 };

	if (ioctl(fd, TIOCGWINSZ, &ws) < 0 || ws.ws_row == 0 || ws.ws_col == 0)
		ws = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	*ret_rows = ws.ws_row;
	*ret_cols = ws.ws_col;
}
