/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static const struct cx_pipes none = {
	.ours = { -EBADF, -EBADF, -EBADF },
	.theirs = { -EBADF, -EBADF, -EBADF },
};

static int open_one(struct cx_pipes *pipes, unsigned i, struct cx_err *err)
{
	int *reads = i == 0 ? &pipes->theirs[i] : &pipes->ours[i];
	int *writes = i == 0 ? &pipes->ours[i] : &pipes->theirs[i];

	if (cx_pipe(reads, writes, err) < 0)
		return -err->errnum;
	if (fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK) < 0) /* a new pipe has no flags to keep */
		return cx_fail(err, errno, "set O_NONBLOCK");
	if (fchmod(pipes->theirs[i], 0666) < 0)
		return cx_fail(err, errno, "change mode of a pipe");
	return 0;
}

int cx_pipes_open(struct cx_pipes *ret, struct cx_err *err)
{
	CX_AUTO(cx_pipes_close) struct cx_pipes pipes = none;

	*ret = none;
	for (unsigned i = 0; i < CX_LEN(pipes.ours); i++)
		if (open_one(&pipes, i, err) < 0)
			return cx_wrap(err, "pipes of a command");
	*ret = pipes;
	ret->ntheirs = CX_LEN(pipes.theirs);
	pipes = none;
	return 0;
}

int cx_pipes_open_input(struct cx_pipes *ret, struct cx_err *err)
{
	CX_AUTO(cx_pipes_close) struct cx_pipes pipes = none;

	*ret = none;
	if (open_one(&pipes, 0, err) < 0)
		return cx_wrap(err, "input of a command");
	*ret = pipes;
	ret->ntheirs = 1;
	pipes = none;
	return 0;
}

int cx_pipes_open_tty(struct cx_pipes *ret, struct cx_err *err)
{
	CX_AUTO(cx_pipes_close) struct cx_pipes pipes = none;
	int pair[2];

	*ret = none;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair of a terminal");
	pipes.ours[0] = pair[0];
	pipes.theirs[0] = pair[1];
	*ret = pipes;
	ret->ntheirs = 1;
	pipes = none;
	return 0;
}

int cx_pipes_fill(struct cx_pipes *pipes, const char *p, size_t len, struct cx_err *err)
{
	const int fd = pipes->ours[0];

	/* Who has many pipes gets small ones. */
	if ((fcntl(fd, F_GETPIPE_SZ) < (int)len && fcntl(fd, F_SETPIPE_SZ, (int)len) < 0) ||
	    (len > 0 && write(fd, p, len) != (ssize_t)len))
		return cx_refuse(err, CX_LIMIT,
				 "there is no room for 'stdin' now; without 'id' and 'detach' it "
				 "needs none");
	cx_close(&pipes->ours[0]);
	return 0;
}

void cx_pipes_close_theirs(struct cx_pipes *pipes)
{
	for (unsigned i = 0; i < CX_LEN(pipes->theirs); i++)
		cx_close(&pipes->theirs[i]);
}

void cx_pipes_close(struct cx_pipes *pipes)
{
	for (unsigned i = 0; i < CX_LEN(pipes->ours); i++)
		cx_close(&pipes->ours[i]);
	cx_pipes_close_theirs(pipes);
}
