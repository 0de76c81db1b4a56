/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_CHILD_H
#define CX_ENGINE_CHILD_H

#include "base/loop.h"
#include "runtime/process.h"

/*
 * A process of ours in the event loop, held by its pidfd. Its memory is the loop's: an owner may go
 * at any time after cx_child_forget().
 */
struct cx_child;

struct cx_child_end {
	int code;   /* CLD_EXITED, CLD_KILLED, ...; 0: unknown, it was not our own child */
	int status; /* exit status or signal */
};
typedef void cx_child_exited(void *owner, const struct cx_child_end *end);

CX_MUST int cx_child_start(struct cx_loop *loop, const struct cx_process_plan *plan,
			   cx_child_exited *exited, void *owner, struct cx_child **ret,
			   struct cx_err *err);
/* The same for a process that runs already; takes over *pidfd on success. */
CX_MUST int cx_child_adopt(struct cx_loop *loop, int *pidfd, cx_child_exited *exited, void *owner,
			   struct cx_child **ret, struct cx_err *err);

void cx_child_signal(struct cx_child *child, int signo);
int cx_child_pidfd(const struct cx_child *child); /* the child's */
/* Nothing more is told of it. With kill it is ended and still reaped; NULL does no harm. */
void cx_child_forget(struct cx_child *child, bool kill);

/* "exited with status 3", "killed by signal 9", for people. Returns buf. */
const char *cx_child_describe(const struct cx_child_end *end, char *buf, size_t size);

#endif
