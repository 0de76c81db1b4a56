/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_POLICY_POLICY_H
#define CX_POLICY_POLICY_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a sandbox is allowed, as data: const tables, each row with the reason it is there. This
 * layer makes no system call; runtime/ and agent/ apply the tables and tests loop over their rows.
 */

/* A file system of the sandbox's own, mounted by the agent (agent/blank.c) in the order of the
 * rows. */
struct cx_mount_row {
	const char *at; /* below the root, without a leading '/' */
	const char *type;
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

/* What caissond keeps on the host, and what its spawner keeps of that. */
extern const struct cx_cap_row cx_policy_supervisor_caps[];
extern const size_t cx_policy_nsupervisor_caps;
extern const struct cx_cap_row cx_policy_spawner_caps[];
extern const size_t cx_policy_nspawner_caps;

/* The whole of /dev but what is mounted in it. The agent's device cgroup allows the same. */
struct cx_device_row {
	const char *name;
	unsigned major, minor;
	const char *why;
};
extern const struct cx_device_row cx_policy_devices[];
extern const size_t cx_policy_ndevices;
struct cx_link_row {
	const char *name, *target;
};
extern const struct cx_link_row cx_policy_dev_links[];
extern const size_t cx_policy_ndev_links;
extern const char *const cx_policy_dev_dirs[];
extern const size_t cx_policy_ndev_dirs;

/* Written into the sandbox's network namespace before anything runs in it; paths below /proc/sys.
 */
struct cx_sysctl_row {
	const char *path, *value;
	const char *why;
};
extern const struct cx_sysctl_row cx_policy_sysctls[];
extern const size_t cx_policy_nsysctls;

/*
 * The system calls of a sandbox: what no row names fails with ENOSYS, as on a kernel that never had
 * it; a refused one fails with EPERM, so that programs see a decision. A row with conditions holds
 * where all of them do. Allowing rows of one name are alternatives; a refusing row with conditions
 * goes before an allowing one of the same name.
 */
enum cx_call_verdict { CX_CALL_ALLOW, CX_CALL_REFUSE };
struct cx_call_condition {
	unsigned arg;	/* from 0 */
	uint64_t mask;	/* (argument & mask) */
	uint64_t equal; /* == equal */
};
struct cx_call_row {
	const char *name;
	enum cx_call_verdict verdict;
	unsigned nconditions; /* all must hold */
	struct cx_call_condition conditions[3];
	const char *why;
};
extern const struct cx_call_row cx_policy_calls[];
extern const size_t cx_policy_ncalls;

/* A limit that is already lower stays. */
struct cx_rlimit_row {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
	const char *why;
};
extern const struct cx_rlimit_row cx_policy_rlimits[];
extern const size_t cx_policy_nrlimits;

#endif
