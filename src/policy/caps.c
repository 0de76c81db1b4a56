/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>

#include "policy/policy.h"

const struct cx_cap_row cx_policy_caps[] = {
	{ CAP_CHOWN, "package managers and archives set owners" },
	{ CAP_DAC_OVERRIDE, "root inside reads and writes every file of the sandbox" },
	{ CAP_FOWNER, "the same for modes and times" },
	{ CAP_FSETID, "keeps set-group-ID bits on what root changes" },
	{ CAP_KILL, "root inside, and the agent, signal other users' processes" },
	{ CAP_SETGID, "changing to a service's group; the agent needs it for \"user\"" },
	{ CAP_SETUID, "changing to a service's user; the agent needs it for \"user\"" },
	{ CAP_SETPCAP, "a service may drop what it does not need" },
	{ CAP_NET_BIND_SERVICE, "ports below 1024" },
	{ CAP_SYS_CHROOT, "build tools and services confine themselves" },
	{ CAP_SETFCAP, "package managers set file capabilities, which no_new_privs keeps inert" },
	{ CAP_AUDIT_WRITE, "login programs insist on it; the host's audit refuses it anyway" },
};
const size_t cx_policy_ncaps = sizeof cx_policy_caps / sizeof cx_policy_caps[0];

const struct cx_cap_row cx_policy_supervisor_caps[] = {
	{ CAP_CHOWN, "writable layers and work groups belong to a sandbox's base id" },
	{ CAP_DAC_OVERRIDE, "removes what a sandbox left behind, whatever its modes" },
	{ CAP_DAC_READ_SEARCH, "the same" },
	{ CAP_FOWNER, "the same" },
	{ CAP_FSETID, "modes of directories that belong to others" },
	{ CAP_KILL, "ends sandboxes and workers, which run as other ids" },
	{ CAP_SETGID, "the gateway's group, and group maps of user namespaces" },
	{ CAP_SETUID, "the gateway's user, and id maps of user namespaces" },
	{ CAP_SETPCAP, "cuts the bounding set of what it starts" },
	{ CAP_SYS_ADMIN, "mounts, namespaces, id-mapped layers, device rules of cgroup v2" },
	{ CAP_SYS_PTRACE, "opens the user namespace of a child through /proc" },
	{ CAP_SYS_CHROOT, "setns into a network namespace and pivot_root of the spawner" },
	{ CAP_NET_ADMIN, "loopback up and sysctls of a sandbox's network namespace" },
	{ CAP_MKNOD, "the device nodes of /dev" },
	{ CAP_BPF, "device rules of cgroup v2" },
};
const size_t cx_policy_nsupervisor_caps =
	sizeof cx_policy_supervisor_caps / sizeof cx_policy_supervisor_caps[0];
