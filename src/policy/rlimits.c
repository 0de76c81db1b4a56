/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/resource.h>

#include "policy/policy.h"

const struct cx_rlimit_row cx_policy_rlimits[] = {
	{ RLIMIT_CORE, 0, 0, "no core files: the host's core_pattern decides where they go" },
	{ RLIMIT_NOFILE, 4096, 16384, "times the pids limit well below the host's file-max" },
	{ RLIMIT_MEMLOCK, 8 << 20, 8 << 20, "memory that the host cannot reclaim" },
	{ RLIMIT_RTPRIO, 0, 0, "no real-time class" },
	{ RLIMIT_NICE, 0, 0, "no negative niceness" },
	{ RLIMIT_MSGQUEUE, 819200, 819200, "kernel memory of POSIX queues" },
	{ RLIMIT_SIGPENDING, 4096, 4096, "kernel memory of queued signals" },
};
const size_t cx_policy_nrlimits = sizeof cx_policy_rlimits / sizeof cx_policy_rlimits[0];
