/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_OOM_H
#define CX_ENGINE_OOM_H

#include "engine/host.h"

/*
 * Hears that the kernel has killed in a sandbox for want of memory. On v1 it looks also, from
 * cx_oom_begin() on, whether too much waits in sockets, for which the kernel kills nobody.
 */
struct cx_oom;

typedef void cx_oom_found(void *arg, const struct cx_memory_report *report);

/* found() comes once, never inside. The group must outlive the watch. */
CX_MUST int cx_oom_watch(struct cx_host *host, const struct cx_cgroup *group, cx_oom_found *found,
			 void *arg, struct cx_oom **ret, struct cx_err *err);
/* What was before the watch is found as well. NULL is fine. */
void cx_oom_look_back(struct cx_oom *oom);
/* Something runs in it now. NULL is fine. */
void cx_oom_begin(struct cx_oom *oom);
/* Looks now: found() may come inside. NULL is fine. */
void cx_oom_look(struct cx_oom *oom);
void cx_oom_close(struct cx_oom *oom); /* NULL is fine */

#endif
