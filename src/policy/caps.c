/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>

#include "policy/policy.h"

/* Left out for a reason: NET_RAW and NET_ADMIN (the network namespace is the host's), MKNOD (no
 * device can be made in a user namespace), AUDIT_WRITE (no audit socket), SYS_PTRACE (one's own
 * processes need none), SYS_ADMIN. */
const struct cx_cap_row cx_policy_caps[] = {
	{ CAP_CHOWN, "package managers and archives set owners" },
	{ CAP_DAC_OVERRIDE, "root inside reads and writes every file of the sandbox" },
	{ CAP_FOWNER, "the same for modes and times" },
	{ CAP_FSETID, "keeps set-group-ID bits on what root changes" },
	{ CAP_KILL, "root inside, and the agent, signal other users' processes" },
	{ CAP_SETGID, "changing to a service's group; the agent needs it for \"user\"" },
	{ CAP_SETUID, "changing to a service's user; the agent needs it for \"user\"" },
	{ CAP_SETPCAP, "a service may drop what it does not need" },
	{ CAP_NET_BIND_SERVICE, "servers insist on it before they bind to a low port" },
	{ CAP_SYS_CHROOT, "build tools and services confine themselves" },
	{ CAP_SETFCAP, "package managers set file capabilities, which no_new_privs keeps inert" },
};
const size_t cx_policy_ncaps = sizeof cx_policy_caps / sizeof cx_policy_caps[0];

/* Those over the host. They count over sandboxes too, whose namespaces are not root's. */
const struct cx_cap_row cx_policy_supervisor_caps[] = {
	{ CAP_SYS_ADMIN,
	  "mounts, namespaces, id-mapped layers, the device filter of cgroup v2; the "
	  "router's namespace" },
	{ CAP_SYS_CHROOT, "setns() into the mount namespace that holds RUN/net" },
	{ CAP_SETUID, "id maps; the gateway's user" },
	{ CAP_SETGID, "id maps; the gateway's group" },
	{ CAP_SETPCAP, "starting programs with fewer capabilities" },
	{ CAP_CHOWN, "writable directories and delegated cgroups belong to a sandbox's root" },
	{ CAP_DAC_OVERRIDE, "what sandboxes own is removed whatever its modes" },
	{ CAP_FOWNER, "the same under sticky directories" },
	{ CAP_MKNOD, "the nodes of a sandbox's /dev" },
	{ CAP_KILL, "ends the gateway, the image workers and sandboxes" },
	{ CAP_NET_ADMIN, "the router: its uplink, addresses, rules" },
	{ CAP_NET_BIND_SERVICE, "an operator may want the API on a low port" },
};
const size_t cx_policy_nsupervisor_caps =
	sizeof cx_policy_supervisor_caps / sizeof cx_policy_supervisor_caps[0];

const struct cx_cap_row cx_policy_spawner_caps[] = {
	{ CAP_SYS_ADMIN, "clone3() with namespaces, setns() back into its own network" },
	{ CAP_SETUID, "id maps" },
	{ CAP_SETGID, "id maps" },
	{ CAP_NET_ADMIN, "loopback and link of a new network namespace" },
};
const size_t cx_policy_nspawner_caps =
	sizeof cx_policy_spawner_caps / sizeof cx_policy_spawner_caps[0];

const struct cx_cap_row cx_policy_reaper_caps[] = {
	{ CAP_DAC_OVERRIDE, "removes control groups that belong to a sandbox's root" },
	{ CAP_KILL, "ends what is in them still" },
};
const size_t cx_policy_nreaper_caps =
	sizeof cx_policy_reaper_caps / sizeof cx_policy_reaper_caps[0];

const struct cx_cap_row cx_policy_sweeper_caps[] = {
	{ CAP_DAC_OVERRIDE, "deletes what sandboxes left, whatever its modes" },
	{ CAP_FOWNER, "the same in sticky directories" },
};
const size_t cx_policy_nsweeper_caps =
	sizeof cx_policy_sweeper_caps / sizeof cx_policy_sweeper_caps[0];
