/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_REAPER_H
#define CX_ENGINE_REAPER_H

#include "engine/child.h"
#include "engine/host.h"
#include "engine/link.h"

/*
 * Takes away what ended sandboxes left in the kernel and what takes its time to go: mounts, which
 * wait for grace periods of RCU and for file systems to close, and control groups. A process of its
 * own does it, `caissond --reap`, so that nobody waits in caissond. It takes its orders in packets
 * (proto/reap_msgs.h), keeps nothing of them, and waits in the kernel when there are none. When it
 * dies the next one gets what it had not answered: doing it twice does no harm.
 */
enum {
	CX_REAP_FDS = 2,     /* that one sandbox has at most */
	CX_REAP_AT_ONCE = 8, /* orders that are under way; below net.unix.max_dgram_qlen */
};

struct cx_reaping {	/* embedded in its owner, who keeps it until done or cx_reaper_forget() */
	const char *id; /* of its control groups; the owner's */
	int fds[CX_REAP_FDS]; /* taken over: whose closing ends its mounts; -EBADF: none */
	/* Once, never inside of cx_reaper_take(): NULL, or what is not gone yet. */
	void (*done)(struct cx_reaping *reaping, const struct cx_err *why);
	struct cx_reaping *next; /* the reaper's from here */
	bool taken;
};

struct cx_reaper {
	struct cx_host *host;
	struct cx_child *child;
	struct cx_link *link; /* NULL while there is none to talk to */
	struct cx_timer timer;
	uint64_t started_ms;
	struct cx_reaping *first, **last;	  /* that wait */
	struct cx_reaping *sent[CX_REAP_AT_ONCE]; /* by request number, from 1 */
};

void cx_reaper_open(struct cx_reaper *ret, struct cx_host *host);
/* Order does not matter: what was taken first is not always gone first. */
void cx_reaper_take(struct cx_reaper *reaper, struct cx_reaping *reaping);
/* done() does not come; its descriptors are closed. Harmless for one that was never taken. */
void cx_reaper_forget(struct cx_reaper *reaper, struct cx_reaping *reaping);
/*
 * Closes the n descriptors, -EBADF then, whose closing ends mounts: the reaper waits for it, unless
 * there is none now or it is far behind.
 */
void cx_reaper_let_go(struct cx_reaper *reaper, int *fds, unsigned n);
void cx_reaper_close(struct cx_reaper *reaper);

/* All of `caissond --reap`: serves until its control socket closes. Two capabilities. */
CX_MUST int cx_reap_main(struct cx_err *err);

#endif
