/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_STREAM_H
#define CX_CLI_STREAM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

/*
 * Our end of a running command: copies stdin, stdout and stderr, passes signals and the window's
 * size on, and ends with the command. Nothing is read from either side that the other cannot take
 * yet, so memory is bounded by one frame each way. Descriptors are borrowed and their flags left
 * as they are: they may be shared with the caller's shell.
 */
struct cx_stream {
	int sock;
	int signals; /* signalfd of blocked SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGWINCH */
	int in;	     /* -1: the command sees the end of file at once */
	int out, err;
	bool tty;   /* a terminal is there: SIGWINCH matters */
	int signo;  /* a signal to pass on at once, 0: none */
	bool grace; /* after SIGTERM or SIGHUP the command has GRACE_MS, then it is killed */
	struct cx_buf first; /* bytes of the stream that came with the handshake */
};

/*
 * Returns the exit status that the caller should end with: the command's, 128 + n for signal n, 124
 * after a timeout. A failure of kind CX_NOT_FOUND or CX_DENIED: the command could not be started.
 */
CX_MUST int cx_stream_run(struct cx_stream *stream, struct cx_err *err);
/* The same of a result, as /exec answers it. */
CX_MUST int cx_stream_status(json_t *result, struct cx_err *err);

#endif
