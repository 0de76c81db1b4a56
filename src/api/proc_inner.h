/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PROC_INNER_H
#define CX_API_PROC_INNER_H

#include "api/proc.h"

/* The inside of a process: proclife.c is its life and its watchers, procio.c moves its bytes. */
struct cx_proc_lane { /* one descriptor of the command */
	struct cx_source source;
	struct cx_proc *process;
	enum cx_proc_event_kind kind;
	uint32_t armed; /* what epoll watches for */
	uint64_t left;	/* after the command's end: bytes still to pass on */
};

struct cx_piece { /* of output */
	struct cx_piece *next;
	uint64_t number;
	enum cx_proc_event_kind kind;
	size_t len;
	char data[];
};

enum cx_proc_state {
	CX_PROC_IS_STARTING,
	CX_PROC_IS_RUNNING,
	CX_PROC_IS_DRAINING, /* it has ended; what was in its pipes is still read */
	CX_PROC_IS_OVER,     /* all that there will ever be is held */
};

struct cx_proc { /* freed when nothing holds it: list, exec, lanes, watchers */
	struct cx_gateway *gw;
	char sandbox[CX_SANDBOX_ID_MAX + 1];
	struct cx_proc_plan plan;
	struct cx_exec exec;
	struct cx_proc_lane in, out[2];
	enum cx_proc_state state;
	uint32_t pid;
	struct cx_result end;
	struct cx_err why; /* instead of end, when errnum is set */

	struct cx_piece *first, **last;
	size_t held;		 /* bytes of memory */
	uint64_t coming, unread; /* numbers: of the next piece, of the first that nobody took */
	struct cx_proc_watch *watchers;
	struct cx_timer patience;
	uint64_t stuck_at; /* the first piece's number when patience began */

	struct cx_buf input;
	struct cx_proc_sender *senders;	    /* that wait for room */
	char (*seen)[CX_PROC_UUID_MAX + 1]; /* a ring */
	unsigned nseen;

	struct cx_timer kept;
	struct cx_proc *next, **link; /* of those that can be found */
	unsigned holders;
};

/* ---- proclife.c ------------------------------------------------------------------------------ */

void cx_proc_release(struct cx_proc *p);  /* one hold less */
void cx_proc_conclude(struct cx_proc *p); /* it has ended, and all that it wrote is held */

/* ---- procio.c -------------------------------------------------------------------------------- */

/* Takes over what it needs of *pipes. On failure some may be open: cx_proc_close_lanes(). */
CX_MUST int cx_proc_open_lanes(struct cx_proc *p, struct cx_pipes *pipes, struct cx_err *err);
void cx_proc_close_lanes(struct cx_proc *p);
void cx_proc_close_input(struct cx_proc *p);
/* After its end: reads what it wrote, but not what others go on writing. */
void cx_proc_limit_output(struct cx_proc *p);
/* Moves what can be moved; called after anything that may have changed that. */
void cx_proc_pump(struct cx_proc *p);
/* Frees the pieces that nobody will take any more. */
void cx_proc_drop_taken(struct cx_proc *p);
void cx_proc_tell(struct cx_proc *p); /* every watcher */

#endif
