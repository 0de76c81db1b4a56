/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PROC_H
#define CX_API_PROC_H

#include "api/command.h"

/*
 * Commands that are watched while they run, by any number of watchers that come and go. One with a
 * uuid is a live process: it outlives its watchers, and its end is told for CX_PROC_KEPT_MS to
 * whoever asks. Any other is killed when nobody watches it any more.
 *
 * Output waits until every watcher has taken it; up to CX_PROC_HELD_MAX bytes, then the command
 * waits. While nobody watches a live process it goes on, and the newest CX_PROC_HELD_MAX bytes
 * are what the next watcher gets. One that takes nothing for CX_PROC_PATIENCE_MS while another
 * waits for more is cut off.
 */
enum {
	CX_PROC_HELD_MAX = 256 << 10,  /* bytes of output, of one process */
	CX_PROC_PIECE_MAX = 32 << 10,  /* bytes of one event */
	CX_PROC_INPUT_MAX = 256 << 10, /* bytes that wait; then who sends waits */
	CX_PROC_SENDERS_MAX = 64,
	CX_PROC_WATCHERS_MAX = 64,
	CX_PROC_UUID_MAX = 64,	/* bytes of a uuid of any kind */
	CX_PROC_SEEN_MAX = 128, /* inputs and signals that are known again */
	CX_PROC_KEPT_MS = 10 * 60 * 1000,
	CX_PROC_KEPT_MAX = 512, /* ended ones, of all sandboxes */
	CX_PROC_PATIENCE_MS = 10 * 1000,
};

struct cx_proc;

struct cx_proc_plan {
	struct cx_exec_spec spec;	 /* argv, env, cwd, user, flags, timeout_ms, rows, cols */
	bool input;			 /* its stdin stays open; else it is at its end */
	char uuid[CX_PROC_UUID_MAX + 1]; /* "": a plain command */
};
void cx_proc_plan_clear(struct cx_proc_plan *plan);

/* ---- watching -------------------------------------------------------------------------------- */

enum cx_proc_event_kind {
	CX_PROC_STARTED, /* pid; first, once for each watcher */
	CX_PROC_STDOUT,
	CX_PROC_STDERR,
	CX_PROC_TERMINAL, /* what a terminal shows */
	CX_PROC_ENDED,	  /* end; the last one */
	CX_PROC_FAILED,	  /* err: did not start, or was lost sight of; the last one */
};

struct cx_proc_event {
	enum cx_proc_event_kind kind;
	uint32_t pid;
	const char *p;
	size_t len;
	const struct cx_result *end;
	const struct cx_err *err;
};

struct cx_proc_watch {				      /* embedded in its owner */
	void (*ready)(struct cx_proc_watch *watcher); /* there may be something to take */
	struct cx_proc *process;		      /* private, as is what follows */
	struct cx_piece *at;
	bool told_start, told_end, cut;
	struct cx_proc_watch *next, **link;
};

enum cx_taken { CX_TAKEN_NONE, CX_TAKEN_ONE, CX_TAKEN_LAST };

/* Shows the next event, which is valid during visit() only; ready() follows after NONE. */
enum cx_taken cx_proc_take(struct cx_proc_watch *watcher,
			   void (*visit)(const struct cx_proc_event *event, void *arg), void *arg);
void cx_proc_leave(struct cx_proc_watch *watcher); /* idempotent */

/*
 * Starts what plan says (its buffers are taken over) in the sandbox of that id, or, when that has a
 * process with the plan's uuid already, attaches to it: CX_CONFLICT when it is another one.
 * *ret_attached tells which. -errno: the watcher watches nothing.
 */
CX_MUST int cx_proc_start(struct cx_gateway *gw, const char *sandbox, struct cx_session *session,
			  struct cx_proc_plan *plan, struct cx_proc_watch *watcher,
			  bool *ret_attached, struct cx_err *err);

/* By uuid or, when that is NULL, by pid; CX_NOT_FOUND. It lives until the loop's next turn. */
CX_MUST int cx_proc_find(struct cx_gateway *gw, const char *sandbox, const char *uuid, uint32_t pid,
			 struct cx_proc **ret, struct cx_err *err);
CX_MUST int cx_proc_watch(struct cx_proc *process, struct cx_proc_watch *watcher,
			  struct cx_err *err);

/* ---- input and signals ----------------------------------------------------------------------- */

struct cx_proc_sender { /* embedded in its owner, with what it sends */
	void (*done)(struct cx_proc_sender *sender, const struct cx_err *err);
	const char *p; /* borrowed until done() */
	size_t len;
	const char *uuid;		     /* "" or what makes a repetition known */
	struct cx_proc_sender *next, **link; /* private */
};

/*
 * Inputs reach the process in the order of the calls, whole; one whose uuid was there before
 * changes nothing. 1: taken; 0: done() follows when there is room; -errno: refused.
 */
CX_MUST int cx_proc_send(struct cx_proc *process, struct cx_proc_sender *sender,
			 struct cx_err *err);
void cx_proc_sender_forget(struct cx_proc_sender *sender); /* idempotent */

/* To the whole group; of a process that has ended it means nothing. */
CX_MUST int cx_proc_signal(struct cx_proc *process, unsigned signo, const char *uuid,
			   struct cx_err *err);

#endif
