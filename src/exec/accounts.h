/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_ACCOUNTS_H
#define CX_EXEC_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "exec/held.h"
#include "proto/control_msgs.h"

/*
 * What the kernel counts for the commands of one sandbox, read by the host in control groups that
 * are root's. A command runs in a slot, a group cmd-N that it shares with no other: what it used is
 * what the kernel counted there meanwhile, for all its processes. A slot is used again when nobody
 * is left in it; the children that a command left behind keep theirs.
 */
struct cx_accounts;

struct cx_figures { /* of one command, as of its end */
	uint64_t user_us, system_us;
	uint64_t memory_peak_bytes; /* all that the kernel charged, kernel memory and files too */
	uint64_t memory_file_bytes; /* files that it was first to read, or wrote; cached still */
	uint32_t processes_peak;    /* and threads; the one that starts the command is one */
	uint64_t throttled_us;	    /* its sandbox stood still, for having used its CPU time */
	uint64_t wait_us;	    /* some process of it was ready and had no core */
	bool has_cpu, has_memory, has_processes; /* else the kernel does not tell */
	bool has_throttled, has_wait;		 /* the same, and only when it was watched */
};

/* Of one command, held by the kernel or looked after by the session; 0: none of its own. */
struct cx_exec_limits {
	uint64_t cpu_us, memory_bytes;
	uint32_t processes;
	bool watched; /* its waiting for CPU time is told */
};

/*
 * Where a command is counted and what was there before it: what the next one needs who reads its
 * accounts, after a restart. Plain numbers; what is unknown to whoever reads a record of it is 0.
 */
struct cx_accounts_mark {
	uint64_t number; /* of the slot; 0: none */
	uint64_t cpu, user, system, memory, files, processes, refused;
	uint64_t peak_is_whole; /* v2: no other command was there before */
	uint64_t cpu_limit_us, memory_limit_bytes, processes_limit;
};

struct cx_accounts_hits { /* since the command began */
	uint64_t cpu_us;
	uint64_t kills;		 /* by the kernel, for want of memory */
	uint64_t refused;	 /* processes that its own limit forbade, or before Linux 6.11 the
				    sandbox's */
	uint64_t refused_around; /* v2 since then: those that the sandbox's limit forbade to anybody
				  */
};

/*
 * Takes over the n directories that came with "created" or "connected". fresh: nothing has run
 * there yet; else the slots are looked for.
 */
CX_MUST int cx_accounts_open(int dirs[CX_ACCOUNTS_MAX], unsigned n, bool fresh,
			     struct cx_accounts **ret, struct cx_err *err);
void cx_accounts_close(struct cx_accounts *accounts); /* NULL is fine */
/* Files of its first slot may be among those that stay open; sets outlives it. */
void cx_accounts_hold(struct cx_accounts *accounts, struct cx_held_sets *sets);

/* "cgroup v1" or "cgroup v2": the source of the figures. */
const char *cx_accounts_source(const struct cx_accounts *accounts);

/* A free slot, from now on the caller's; 0 when there is none. */
uint32_t cx_accounts_take(struct cx_accounts *accounts);
CX_MUST int cx_accounts_limit(struct cx_accounts *accounts, uint32_t number,
			      const struct cx_exec_limits *limits, struct cx_err *err);
/* Of a slot that was just taken. */
void cx_accounts_mark(const struct cx_accounts *accounts, uint32_t number,
		      const struct cx_exec_limits *limits, struct cx_accounts_mark *ret);
/*
 * The caller's again, as it was before these accounts were opened; *ret_limits are the command's,
 * but nothing is watched any more. 0 when it is not there any more, or another's.
 */
uint32_t cx_accounts_take_again(struct cx_accounts *accounts, const struct cx_accounts_mark *mark,
				struct cx_exec_limits *ret_limits);
/* The command in it has ended, or never began. closed: it may have been forbidden new processes. */
void cx_accounts_give_back(struct cx_accounts *accounts, uint32_t number, bool closed);
/* Is this the slot's group? "id" is the kernel's number of a group of v2; on v1 it tells nothing.
 */
bool cx_accounts_owns(struct cx_accounts *accounts, uint32_t number, uint64_t id);
void cx_accounts_look(struct cx_accounts *accounts, uint32_t number, struct cx_accounts_hits *ret);
void cx_accounts_read(struct cx_accounts *accounts, uint32_t number, struct cx_figures *ret);

/*
 * The number of a slot that caissond is to make: one anew that cannot be used again otherwise, or,
 * when more are needed, another one. 0: none. Follow with cx_accounts_made().
 */
uint32_t cx_accounts_want(struct cx_accounts *accounts, bool more);
void cx_accounts_made(struct cx_accounts *accounts, uint32_t number, bool success);

/* Makes slots ready that were given back. True: in some, processes live on; look again later. */
bool cx_accounts_settle(struct cx_accounts *accounts);

#endif
