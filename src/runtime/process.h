/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_PROCESS_H
#define CX_RUNTIME_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Starts one of our own programs (gateway, spawner, image workers, sweeper): clone3, a table of
 * steps, execve. None gains a privilege by what it executes: no_new_privs is set for all. Not for
 * sandboxes: those are made by the spawner.
 */
struct cx_process_plan {
	const char *path; /* absolute */
	char *const *argv;
	char *const *envp;   /* complete: nothing of the caller's environment is added */
	const int *fds;	     /* fds[i] becomes descriptor i; -EBADF gives /dev/null */
	unsigned nfds;	     /* at least 3; nothing else stays open */
	uint64_t namespaces; /* CLONE_NEW*; with CLONE_NEWUSER, uid_base is mapped as 0 for 65536 */
	uint32_t uid_base;
	uid_t uid; /* with CLONE_NEWUSER: 0 and 0, inside */
	gid_t gid;
	int drop_caps;		/* 1: no capability at all, bounding set included */
	uint64_t nofile;	/* RLIMIT_NOFILE, soft and hard; 0 leaves it */
	uint64_t address_space; /* RLIMIT_AS, bytes; 0 leaves it */
	uint64_t cpu_seconds;	/* RLIMIT_CPU; 0 leaves it */
	int die_with_parent;	/* 1: PR_SET_PDEATHSIG SIGKILL */
	int new_mounts;		/* 1: / is made private in the new mount namespace */
};

/* On success the program has been executed. ret_pidfd is the caller's; reap with waitid(P_PIDFD).
 */
CX_MUST int cx_process_start(const struct cx_process_plan *plan, pid_t *ret_pid, int *ret_pidfd,
			     struct cx_err *err);

/*
 * Cuts the calling process to the capabilities of policy/caps.c's supervisor list: permitted,
 * effective and bounding; inheritable and ambient are emptied. Sets no_new_privs.
 */
CX_MUST int cx_process_trim_supervisor(struct cx_err *err);

/* A memfd with the bytes of a file, sealed against every change, root's, with this mode. */
CX_MUST int cx_process_seal_file(const char *path, mode_t mode, struct cx_err *err);

#endif
