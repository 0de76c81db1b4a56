/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

const struct cx_sysctl_row cx_policy_sysctls[] = {
	{ "net/ipv4/ip_unprivileged_port_start", "0",
	  "the namespace is not the sandbox's own, so CAP_NET_BIND_SERVICE inside does not count; "
	  "its ports are nobody else's",
	  CX_SYSCTL_ALWAYS },
	{ "net/ipv4/ping_group_range", "0 2147483647",
	  "ping without raw sockets, for every group inside", CX_SYSCTL_ALWAYS },
};
const size_t cx_policy_nsysctls = sizeof cx_policy_sysctls / sizeof cx_policy_sysctls[0];
