/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_FD_H
#define CX_BASE_FD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Writes all of data or fails; a blocking fd is assumed. */
CX_MUST int cx_write_all(int fd, const void *data, size_t len, struct cx_err *err);

/* Reads until len bytes or end of file. Returns the number of bytes read (0 .. len). */
CX_MUST ssize_t cx_read_upto(int fd, void *data, size_t len, struct cx_err *err);

/*
 * Reads a whole small file into buf and terminates it with NUL. Refuses a file of size - 1 bytes or
 * more: nothing is cut silently. Returns the length.
 */
CX_MUST ssize_t cx_read_small_file(int dirfd, const char *name, char *buf, size_t size,
				   struct cx_err *err);

/* One write(2) to an existing file, as cgroup and proc files want it. */
CX_MUST int cx_write_file(int dirfd, const char *name, const char *text, struct cx_err *err);

CX_MUST int cx_set_nonblock(int fd, bool on, struct cx_err *err);
CX_MUST int cx_pipe(int *ret_read, int *ret_write, struct cx_err *err); /* both O_CLOEXEC */

/*
 * Moves fds[i] to descriptor first + i for all i, clears O_CLOEXEC on them and marks everything
 * from first + n on as close-on-exec. For the moment before execve(2): async-signal-safe. Order and
 * overlap of the given numbers do not matter.
 */
CX_MUST int cx_fds_arrange(const int *fds, unsigned n, int first, struct cx_err *err);

#endif
