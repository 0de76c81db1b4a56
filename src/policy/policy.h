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

/* A limit that is already lower stays. */
struct cx_rlimit_row {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
	const char *why;
};
extern const struct cx_rlimit_row cx_policy_rlimits[];
extern const size_t cx_policy_nrlimits;

#endif
