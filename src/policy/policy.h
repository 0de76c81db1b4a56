/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_POLICY_POLICY_H
#define CX_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a sandbox is allowed, as data: const tables, each row with the reason it is there. This
 * layer makes no system call; runtime/ and agent/ apply the tables and tests loop over their rows.
 */

/*
 * A file system of the sandbox's own, or a directory of its skeleton, which is a tmpfs, mounted by
 * the agent (agent/blank.c) in the order of the rows. For each file system the kernel keeps memory
 * in each memory group of the host, so there are as few as can be.
 */
struct cx_mount_row {
	const char *at;		/* below the root, without a leading '/' */
	const char *type;	/* NULL: a directory */
	const char *directory;	/* its name in the skeleton */
	unsigned mode;		/* of the directory */
	uint64_t magic;		/* f_type that proves the type */
	const char *options[9]; /* key, value, ..., NULL */
	unsigned attrs;		/* MOUNT_ATTR_* */
	const char *why;
};
extern const struct cx_mount_row cx_policy_mounts[];
extern const size_t cx_policy_nmounts;

/* Paths below /proc, without it. One that a kernel does not have is passed over. */
struct cx_path_row {
	const char *path;
	const char *why;
};
extern const struct cx_path_row cx_policy_masked[]; /* shows as an empty file or directory */
extern const size_t cx_policy_nmasked;
extern const struct cx_path_row cx_policy_readonly[];
extern const size_t cx_policy_nreadonly;

/* What root inside keeps; all others leave the bounding set. All hold in its own namespaces only.
 */
struct cx_cap_row {
	unsigned cap; /* CAP_* of linux/capability.h */
	const char *why;
};
extern const struct cx_cap_row cx_policy_caps[];
extern const size_t cx_policy_ncaps;

/* What caissond keeps on the host, and what its own processes keep of that. */
extern const struct cx_cap_row cx_policy_supervisor_caps[];
extern const size_t cx_policy_nsupervisor_caps;
extern const struct cx_cap_row cx_policy_spawner_caps[];
extern const size_t cx_policy_nspawner_caps;
extern const struct cx_cap_row cx_policy_reaper_caps[];
extern const size_t cx_policy_nreaper_caps;
extern const struct cx_cap_row cx_policy_sweeper_caps[];
extern const size_t cx_policy_nsweeper_caps;

/*
 * The devices that a sandbox may read and write; the device cgroup refuses all others and mknod of
 * any. Those that are a node make up /dev, with the links and directories below.
 */
struct cx_device_row {
	const char *name; /* below /dev */
	unsigned major;
	int minor; /* -1: all */
	bool node; /* else its file system makes it */
	const char *why;
};
extern const struct cx_device_row cx_policy_devices[];
extern const size_t cx_policy_ndevices;
struct cx_link_row {
	const char *name, *target;
	const char *why;
};
extern const struct cx_link_row cx_policy_dev_links[];
extern const size_t cx_policy_ndev_links;
extern const char *const cx_policy_dev_dirs[];
extern const size_t cx_policy_ndev_dirs;

/* Paths below /proc/sys. Those of the policy are written into the sandbox's network namespace
 * before anything runs in it. */
enum cx_sysctl_when { CX_SYSCTL_ALWAYS, CX_SYSCTL_WITH_IP6, CX_SYSCTL_WITHOUT_IP6 };
struct cx_sysctl_row {
	const char *path, *value;
	const char *why;
	enum cx_sysctl_when when;
};
extern const struct cx_sysctl_row cx_policy_sysctls[];
extern const size_t cx_policy_nsysctls;

/*
 * The system calls of a sandbox. What no row names fails with ENOSYS, as on a kernel that does not
 * have it, so that programs take their other way. Other ABIs are killed.
 */
enum {
	CX_SYSCALL_ALLOW = -1,
	CX_SYSCALL_IGNORE = 0, /* succeeds without being done; anything above is an errno */
};
struct cx_syscall_row {
	const char *name;
	unsigned nr; /* of x86-64 */
	int verdict;
	const char *why;
};
extern const struct cx_syscall_row cx_policy_syscalls[];
extern const size_t cx_policy_nsyscalls;

/*
 * Arguments. A row holds when all its conditions do, on the low 32 bits, which is what the kernel
 * looks at for these arguments. A row with an errno goes before the table above. Rows that allow
 * stand for calls that the table does not name: those work with such arguments only.
 */
enum cx_arg_op {
	CX_ARG_ANY,	/* no condition */
	CX_ARG_RANGE,	/* first .. last */
	CX_ARG_ANY_BIT, /* one of the bits of first is set */
};
struct cx_arg_condition {
	unsigned arg; /* 0 .. 5 */
	enum cx_arg_op op;
	uint32_t first, last;
};
struct cx_syscall_arg_row {
	const char *name;
	unsigned nr;
	int verdict;
	struct cx_arg_condition when[2];
	const char *why;
};
extern const struct cx_syscall_arg_row cx_policy_syscall_args[];
extern const size_t cx_policy_nsyscall_args;

/* A limit that is already lower stays. */
struct cx_rlimit_row {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
	const char *why;
};
extern const struct cx_rlimit_row cx_policy_rlimits[];
extern const size_t cx_policy_nrlimits;

#endif
