/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_WORKERPIPE_H
#define CX_API_WORKERPIPE_H

#include "base/loop.h"
#include "image/report.h"

/*
 * What comes out of a worker of caissond's: its stream, and at its end its report. Who wrote it may
 * have been taken over by a hostile archive.
 */
struct cx_worker_pipe;

struct cx_worker_pipe_ops {
	/* Bytes as they came. False: no more of it; the worker's next write fails with EPIPE. */
	bool (*take)(void *arg, const char *p, size_t len);
	void (*ended)(void *arg); /* once: its end of file, or take() said so */
};

/* Opens a pipe and listens; the worker's end goes to *ret_theirs. */
CX_MUST int cx_worker_pipe_open(struct cx_loop *loop, const struct cx_worker_pipe_ops *ops,
				void *arg, int *ret_theirs, struct cx_worker_pipe **ret,
				struct cx_err *err);
/* Before it has ended: no callback follows, the worker gets EPIPE. NULL is fine. */
void cx_worker_pipe_forget(struct cx_worker_pipe *pipe);

/* A report as it arrives; embedded, zeroed before use. */
struct cx_word {
	void (*heard)(struct cx_word *word); /* once, when the worker has said all */
	struct cx_worker_pipe *pipe;
	uint8_t bytes[CX_REPORT_SIZE + 1]; /* one more, so that a long one is seen to be long */
	size_t len;
};

CX_MUST int cx_word_open(struct cx_loop *loop, struct cx_word *word, int *ret_theirs,
			 struct cx_err *err);
void cx_word_forget(struct cx_word *word);
/*
 * 1: all is well; -errno: *err is what went wrong. 0: it has nothing to say, as it only noticed the
 * end of another worker (EPIPE), was ended because of one, or died.
 */
CX_MUST int cx_word_get(const struct cx_word *word, struct cx_report *ret, struct cx_err *err);

#endif
