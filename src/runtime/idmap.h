/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_IDMAP_H
#define CX_RUNTIME_IDMAP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The ids of one sandbox, and where they may lie: the range systemd reserves for containers. */
enum { CX_IDS_COUNT = 65536, CX_IDS_FIRST = 524288, CX_IDS_LAST = 1879048191 };

/* Refuses a base outside of the range above or between two ranges: never the host's 0. */
CX_MUST int cx_idmap_check(uint32_t uid_base, struct cx_err *err);

/*
 * Maps 0 .. 65535 of the new user namespace of a child that waits for it to uid_base .. of ours,
 * users and groups alike. The base is checked as above.
 */
CX_MUST int cx_idmap_write(pid_t pid, uint32_t uid_base, struct cx_err *err);

/* A user namespace with that map and no process, to map the ids of mounts. Returns a descriptor. */
CX_MUST int cx_idmap_userns(uint32_t uid_base, struct cx_err *err);

#endif
