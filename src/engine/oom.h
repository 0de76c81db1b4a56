/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_OOM_H
#define CX_ENGINE_OOM_H

#include "engine/host.h"

/* Hears that the kernel has killed in a sandbox for want of memory, be it before this was asked. */
struct cx_oom;

/* found() comes once, never inside. The group must outlive the watch. */
CX_MUST int cx_oom_watch(struct cx_host *host, const struct cx_cgroup *group,
			 void (*found)(void *arg), void *arg, struct cx_oom **ret,
			 struct cx_err *err);
void cx_oom_close(struct cx_oom *oom); /* NULL is fine */

#endif
