/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_CGROUP_TREE_H
#define CX_RUNTIME_CGROUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct cx_cgroup;

/* What cgroup.c, cgroup_find.c, cgroup_remove.c and the two versions share. Nobody else includes
 * it. */

enum cx_controllers { /* a set */
		      CX_CTL_CPU = 1,
		      CX_CTL_CPUACCT = 2,
		      CX_CTL_MEMORY = 4,
		      CX_CTL_PIDS = 8,
		      CX_CTL_DEVICES = 16,
		      CX_CTL_FREEZER = 32,
		      CX_CTL_NEEDED = CX_CTL_CPU | CX_CTL_MEMORY | CX_CTL_PIDS,
		      CX_CTL_COUNTED =
			      CX_CTL_CPUACCT | CX_CTL_MEMORY | CX_CTL_PIDS, /* for a command */
};
enum {
	CX_CGROUP_NAME_MAX = 64, /* bytes of an instance name and of an id */
	CX_CGROUP_FOUND_MAX = 8,
	CX_SOCKETS_PART = 4, /* of the memory, on top of it: what waits in sockets of v1 */
};

/* How a sandbox appears in a tree: as finely as something there differs. Sorted in this order. */
enum cx_cgroup_kind {
	CX_KIND_SPLIT,	/* the agent, and <id>/work: its limits are not the agent's */
	CX_KIND_SHARED, /* nothing: the instance's group does for all */
};

struct cx_cgroup_tree {
	int root;	      /* where the instance's directory is */
	int dir;	      /* caisson-<instance> */
	unsigned controllers; /* enum cx_controllers */
	enum cx_cgroup_kind kind;
};

enum cx_limit_value {
	CX_LIMIT_TEXT,
	CX_LIMIT_QUOTA_US,
	CX_LIMIT_SHARES, /* v1: 1024 for a core */
	CX_LIMIT_WEIGHT, /* v2: 100 for a core */
	CX_LIMIT_MEMORY,
	CX_LIMIT_SOCKETS,
	CX_LIMIT_PIDS,
};

/* A limit is one write of "<value><text>". Rows are written in order. */
struct cx_limit_row {
	const char *file;
	const char *text;
	const char *why;
	unsigned controller;
	enum cx_limit_value value;
	bool optional; /* some kernels have no such file */
	bool of_all;   /* of <id>, where sandboxes compete with each other, instead of "work" */
};

enum cx_usage_value {
	CX_USAGE_CPU_US,
	CX_USAGE_MEMORY,
	CX_USAGE_PEAK,
	CX_USAGE_PIDS,
	CX_USAGE_OOM_KILLS,
	CX_USAGE_MAX,
};

/* A count is a whole file, or the number behind "key " at the start of one of its lines. */
struct cx_usage_row {
	const char *file;
	const char *key;
	unsigned controller;
	unsigned divisor;
	enum cx_usage_value value;
	bool optional;
	bool summed; /* the kernel counts each group below "work" for itself */
	/* What a command's own limit did is not the sandbox's: NULL, or ... */
	const char *own_file, *own_key; /* "work" counts if this number of it is not 0 */
	const char *below_file;		/* a group below counts if this number of it is 0 */
};

/* A part of what struct cx_memory_report tells (cgroup.h): read and added, or taken off. */
struct cx_memory_row {
	const char *file, *key; /* as in struct cx_usage_row; what is not there counts as 0 */
	size_t part;		/* offset of an uint64_t */
	bool less;
};

/* How all of a sandbox is stopped: one write to <id>, and what its state then is. */
struct cx_freeze_row {
	unsigned controller; /* of the tree */
	const char *file, *on, *off;
	const char *state, *frozen; /* a file and a word in it */
};

/* A file of a command's group that others than root may write, or what is to be in it. */
struct cx_slot_row {
	unsigned controller;
	const char *file;
	enum { CX_SLOT_SANDBOX, CX_SLOT_READER, CX_SLOT_BOTH, CX_SLOT_SET } who;
	const char *text; /* of CX_SLOT_SET */
	bool optional;	  /* some kernels have no such file */
	const char *why;
};

/* What differs between cgroup v1 and v2. */
struct cx_cgroup_version {
	const struct cx_limit_row *limits;
	const struct cx_usage_row *usage;
	const struct cx_slot_row *slot;
	const struct cx_memory_row *memory;
	size_t nlimits, nusage, nslot, nmemory;
	const char *const *delegated; /* files of "work" that its owner may write; ended by NULL */
	struct cx_freeze_row freeze;
	const char *subtree; /* for cgroup.subtree_control, or NULL */
	const char *tasks;   /* where a process writes "0" to move itself */
	bool agent_on_top;   /* the agent is in <id>; else in <id>/agent, as <id> may hold none */
	/* Once per instance, what all sandboxes inherit: the device allow-list, on v1 no swap. */
	int (*begin)(const struct cx_cgroup_tree *tree, struct cx_err *err);
	/* <id> is there and empty. */
	int (*made_top)(int top, uint32_t uid_base, struct cx_cgroup *ret, struct cx_err *err);
	/* See cx_cgroup_oom_watch(). */
	int (*oom_watch)(int dir, uint32_t *ret_events, struct cx_err *err);
	/* Sends SIGKILL to all in the group and, as far as the version can, in those below it. */
	int (*kill)(int dir, struct cx_err *err);
};

struct cx_cgroups {
	const struct cx_cgroup_version *version;
	const char *mode;
	char name[sizeof "caisson-" + CX_CGROUP_NAME_MAX];
	uid_t reader;
	gid_t reader_gid; /* see cx_cgroups_set_reader() */
	struct cx_cgroup_tree trees[CX_CGROUP_FOUND_MAX];
	unsigned n; /* by kind; the first limits the pids */
};

extern const struct cx_cgroup_version cx_cgroup_v1;
extern const struct cx_cgroup_version cx_cgroup_v2;

/* Fills version, mode, and root and controllers of each tree (cgroup_find.c). */
CX_MUST int cx_cgroups_find(struct cx_cgroups *groups, struct cx_err *err);

/*
 * On v2: the group that this process may divide. No group with controllers for its children may
 * hold processes. So under a service manager it is the group that was delegated only if this
 * process was started in "supervisor" below that (DelegateSubgroup=, systemd 254); a manager that
 * starts services in the group itself could not do so again while sandboxes live. Else it is the
 * root of the tree. Returns a directory.
 */
CX_MUST int cx_cgroup_v2_root(const char *mount, struct cx_err *err);

/* The device allow-list as a BPF program on the instance's group. */
CX_MUST int cx_cgroup_v2_devices(const struct cx_cgroup_tree *tree, struct cx_err *err);

/* One write; a missing file is fine when optional. */
CX_MUST int cx_cgroup_write(int dir, const char *file, const char *text, bool optional,
			    struct cx_err *err);
/* A directory below dir. */
CX_MUST int cx_cgroup_child(int dir, const char *name, struct cx_err *err);
/* Calls fn with the name of every group directly below until it returns other than 0; returns that.
 */
CX_MUST int cx_cgroup_children(int dir, int (*fn)(const char *name, void *arg, struct cx_err *err),
			       void *arg, struct cx_err *err);

/* The number at text, or behind the line that begins with key and a space. -errno: there is none.
 */
CX_MUST int cx_cgroup_number(const char *text, const char *key, uint64_t *ret);

/* As cx_cgroup_remove(), in the tree of the instance's directory dir. */
CX_MUST int cx_cgroup_remove_in(const struct cx_cgroup_version *version, int dir, const char *id,
				struct cx_err *err);

/* SIGKILL, through pidfds, to every process of this one group. */
CX_MUST int cx_cgroup_kill_listed(int dir, struct cx_err *err);

#endif
