/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FEED_H
#define CX_API_FEED_H

#include "base/loop.h"

/*
 * A file that still grows, as a pipe for a worker that reads it meanwhile: what is in the file is
 * sent as fast as the worker takes it, which holds nobody up and copies nothing here.
 */
struct cx_feed;

/* file stays the caller's. ret_reader: the pipe's other end, the caller's. */
CX_MUST int cx_feed_new(struct cx_loop *loop, int file, int *ret_reader, struct cx_feed **ret,
			struct cx_err *err);
/* The file has that many bytes now. end: no more will come, and the pipe ends behind them. */
void cx_feed_grown(struct cx_feed *feed, uint64_t bytes, bool end);
/* What was not sent by then never is: the pipe ends early. NULL is fine. */
void cx_feed_free(struct cx_feed *feed);

#endif
