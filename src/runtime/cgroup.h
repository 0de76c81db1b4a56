/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_CGROUP_H
#define CX_RUNTIME_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * One interface over cgroup v1, hybrid and v2. libcgroup finds the hierarchies once; everything
 * after that goes through directory descriptors.
 *
 *	<root>/caisson-<instance>/<id>		the agent (v1)
 *	<root>/caisson-<instance>/<id>/agent	the agent (v2)
 *	<root>/caisson-<instance>/<id>/work	all else, under struct cx_limits; delegated
 *
 * The agent has CX_AGENT_MEMORY and CX_AGENT_PIDS that nobody else can take: on v2 as limits of its
 * own; on v1, where a group may hold processes and groups, <id> is allowed so much more than work.
 * A group less in each tree is memory: in each memory group the kernel has something for each file
 * system of the host.
 *
 * A command runs in a group cmd-N below "work", made here and root's, in every tree that counts or
 * limits processes, memory or CPU time: one "slot" is used by one command at a time, and again when
 * nothing is left of it. What the sandbox may do there is to put processes in and to forbid new
 * ones. What is started without a slot has a group exec-N of the agent's in the tree that limits
 * the pids, to find and kill it, and belongs into "work" itself in the other trees of v1.
 *
 * A hierarchy is one mounted tree: on v1 each controller (or joined set) has its own, on v2 there
 * is one. Needed: cpu, memory, pids; used where there: cpuacct, devices, freezer.
 */
enum { CX_CGROUP_TREES_MAX = 8, CX_CGROUP_ACCOUNTS_MAX = 3, CX_CGROUP_SLOTS_MAX = 1024 };
/* Room for what the kernel frees late of the many short-lived children that start commands. */
enum { CX_AGENT_MEMORY = 48 << 20, CX_AGENT_PIDS = 256 };

struct cx_cgroups; /* the host's trees and this instance's directory in each */

enum { CX_LIMITS_MEMORY_MIN = 6 << 20 };
struct cx_limits {
	uint32_t cpu_milli;    /* thousandths of one core; >= 10 */
	uint64_t memory_bytes; /* RAM, CX_LIMITS_MEMORY_MIN at least; swap is off */
	uint32_t pids;
};

struct cx_usage {
	uint64_t cpu_us, memory_bytes, memory_peak_bytes;
	uint32_t pids, oom_kills;
};

struct cx_cgroup { /* of one sandbox; cx_cgroup_close() releases the descriptors, not the groups */
	int top[CX_CGROUP_TREES_MAX]; /* <id>, a directory in each tree; ntop of them */
	/*
	 * What the agent inherits, n of them, in the order of top: first the directory <id>/work of
	 * the tree that limits the pids, where it makes exec-N; then (v1) of each other tree either
	 * the directory <id>/work, where commands are counted, or its "tasks", open for writing. A
	 * directory is the root of a detached mount: from a plain one ".." would lead to the host's
	 * files.
	 */
	int work[CX_CGROUP_TREES_MAX];
	int tasks[CX_CGROUP_TREES_MAX]; /* where the agent's process writes "0"; ntasks of them */
	int ns; /* v2: the cgroup namespace to be in, its root is <id>; else -EBADF */
	unsigned ntop, n, ntasks;
	struct cx_limits limits; /* that are in force; all 0: not known */
};

/*
 * Finds the trees and makes (or re-uses) this instance's directory in each. Refuses, naming what is
 * missing, when cpu, memory or pids cannot be limited. On v2 under systemd the delegated group of
 * this process is the root.
 */
CX_MUST int cx_cgroups_open(const char *instance, struct cx_cgroups **ret, struct cx_err *err);

/* What the groups around the instance allow to all sandboxes together; UINT64_MAX: no bound. */
struct cx_cgroup_bounds {
	uint64_t memory, memory_left; /* bytes; cache that is idle counts as left */
	uint64_t pids, pids_left;
};
void cx_cgroups_bounds(const struct cx_cgroups *groups, struct cx_cgroup_bounds *ret);

/*
 * For another process that removes (cx_cgroup_remove), and does nothing else: the directories that
 * it needs, which stay the caller's; returns how many. And there the same from n of them, which it
 * takes over.
 */
unsigned cx_cgroups_dirs(const struct cx_cgroups *groups, int ret[CX_CGROUP_TREES_MAX]);
CX_MUST int cx_cgroups_of_dirs(const int *dirs, unsigned n, struct cx_cgroups **ret,
			       struct cx_err *err);

/* Releases the descriptors; with remove, also the instance's (then empty) directories. */
void cx_cgroups_close(struct cx_cgroups *groups, bool remove);
/* In how many trees a sandbox has groups: 1 with v2. */
unsigned cx_cgroups_count(const struct cx_cgroups *groups);
const char *cx_cgroups_mode(const struct cx_cgroups *groups); /* "v1", "hybrid" or "v2" */
/* The user who reads what commands used and sets their limits; root when nothing is said. */
void cx_cgroups_set_reader(struct cx_cgroups *groups, uid_t uid, gid_t gid);

/*
 * Makes the groups of a sandbox, with the agent's limits, device rules, and "work" owned by
 * uid_base; limits are in force at once, NULL: the agent's only. An id that already has groups is
 * an error.
 */
CX_MUST int cx_cgroup_make(struct cx_cgroups *groups, const char *id, uint32_t uid_base,
			   const struct cx_limits *limits, struct cx_cgroup *ret,
			   struct cx_err *err);
/* Opens the groups of a sandbox that outlived a daemon: only top, its agent has the rest. */
CX_MUST int cx_cgroup_find(struct cx_cgroups *groups, const char *id, struct cx_cgroup *ret,
			   struct cx_err *err);
void cx_cgroup_close(struct cx_cgroup *group);
void cx_cgroup_close_work(struct cx_cgroup *group); /* the descriptors in work only */

/* Only writes to prepared files, and nothing when these limits are in force already. */
CX_MUST int cx_cgroup_limit(struct cx_cgroups *groups, struct cx_cgroup *group,
			    const struct cx_limits *limits, struct cx_err *err);
CX_MUST int cx_cgroup_usage(struct cx_cgroups *groups, const struct cx_cgroup *group,
			    struct cx_usage *ret, struct cx_err *err);

/*
 * Makes cmd-<number> (1 to CX_CGROUP_SLOTS_MAX) in each tree that counts, anew if it is there and
 * nobody is in it; else -EBUSY.
 */
CX_MUST int cx_cgroup_slot(struct cx_cgroups *groups, const struct cx_cgroup *group,
			   uint32_t number, uint32_t uid_base, struct cx_err *err);
/*
 * Where the reader finds them: directories, the caller's, *ret_n of them: on v1 those of memory,
 * cpuacct and pids, on v2 the one. They are those of work as long as these are there, which costs
 * less to close, and no way leads out of them.
 */
CX_MUST int cx_cgroup_accounts(struct cx_cgroups *groups, const struct cx_cgroup *group,
			       int ret[CX_CGROUP_ACCOUNTS_MAX], unsigned *ret_n,
			       struct cx_err *err);

/*
 * A descriptor that tells when the kernel has killed in "work" for want of memory: *ret_events is
 * what epoll has to watch it for. It may tell more often than that, and a moment too early: the
 * count is what counts. cx_cgroup_oom_heard() makes it quiet again and says a number that
 * grows when nothing could be freed, or somebody was killed; before: what it said last, 0 at first.
 * Version 2 also tells of memory that was freed at the limit, which anybody inside can bring on at
 * will: then it says the same again.
 */
CX_MUST int cx_cgroup_oom_watch(struct cx_cgroups *groups, const struct cx_cgroup *group,
				uint32_t *ret_events, struct cx_err *err);
uint64_t cx_cgroup_oom_heard(int fd, uint64_t before);
/*
 * What fills the memory of a sandbox now. To be asked when it is full: who the kernel kills is soon
 * gone. process: the largest one, or one that is dying just now, as it calls itself, so any bytes;
 * empty when nobody is known who could have filled it.
 */
enum { CX_COMM_MAX = 15 };
struct cx_memory_report {
	uint64_t limit_bytes, peak_bytes, used_bytes;
	/* Parts of used_bytes; shared: files in memory; file: what can be read again */
	uint64_t anonymous_bytes, shared_bytes, file_bytes, kernel_bytes;
	uint64_t process_bytes;	 /* resident; 0: it had given them back */
	uint32_t pid, processes; /* pid: inside, 0: not known */
	char process[CX_COMM_MAX + 1];
};
CX_MUST int cx_cgroup_memory_report(struct cx_cgroups *groups, const struct cx_cgroup *group,
				    struct cx_memory_report *ret, struct cx_err *err);
/*
 * On v1 what waits in TCP and UDP sockets is not memory: it may be a quarter of the limit on top,
 * at which senders wait, but each socket has a little more all the same. 1: these come to half of
 * the limit; 0: not; on v2, where they are memory, an error.
 */
CX_MUST int cx_cgroup_sockets_full(struct cx_cgroups *groups, const struct cx_cgroup *group,
				   struct cx_err *err);
/* The same of all: 0 is too little for any of them. */
CX_MUST int cx_cgroups_sockets_filled(struct cx_cgroups *groups, struct cx_err *err);
/* How often it has. */
CX_MUST int cx_cgroup_oom_kills(struct cx_cgroups *groups, const struct cx_cgroup *group,
				uint32_t *ret, struct cx_err *err);

/*
 * Stops every process of a sandbox where it is, with its agent or without, or lets them go on. The
 * two are apart: what either has stopped stands still. Stopping takes a moment: is_frozen() returns
 * 1 when all stand still, 0 before. CX_UNAVAILABLE where the host has no freezer. On v1 a process
 * that is killed while it is frozen dies when it is let go on.
 */
enum cx_freeze { CX_FREEZE_ALL, CX_FREEZE_WORK };
CX_MUST int cx_cgroup_freeze(struct cx_cgroups *groups, const struct cx_cgroup *group,
			     enum cx_freeze what, bool on, struct cx_err *err);
CX_MUST int cx_cgroup_is_frozen(struct cx_cgroups *groups, const struct cx_cgroup *group,
				enum cx_freeze what, struct cx_err *err);

/*
 * Kills whatever is left in the groups of id and removes them, exec-N and anything deeper that the
 * sandbox made included; works by name, so also for remains of a crash, and says nothing when there
 * is none. Returns 0 when nothing is left, -EBUSY when processes are still dying: call again.
 */
CX_MUST int cx_cgroup_remove(struct cx_cgroups *groups, const char *id, struct cx_err *err);

/* Calls fn for the id of every sandbox that has a group in any tree (an id may come twice). */
CX_MUST int cx_cgroups_each(struct cx_cgroups *groups,
			    int (*fn)(const char *id, void *arg, struct cx_err *err), void *arg,
			    struct cx_err *err);

#endif
