/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

const struct cx_path_row cx_policy_masked[] = {
	{ "acpi", "the host's hardware" },
	{ "asound", "the host's sound devices" },
	{ "interrupts", "per-interrupt counters time the host's key strokes and packets" },
	{ "kcore", "the kernel's memory" },
	{ "key-users", "keys of all users of the host" },
	{ "keys", "names of keys that a sandbox may see" },
	{ "latency_stats", "what other processes wait for" },
	{ "sched_debug", "every process of the host" },
	{ "scsi", "the host's disks" },
	{ "timer_list", "addresses and processes of the host" },
};
const size_t cx_policy_nmasked = sizeof cx_policy_masked / sizeof cx_policy_masked[0];

const struct cx_path_row cx_policy_readonly[] = {
	{ "bus", "the host's buses" },
	{ "fs", "knobs of the host's file systems" },
	{ "irq", "interrupt affinity of the host" },
	{ "sys", "what is not the namespace's own belongs to the host" },
	{ "sysrq-trigger", "commands to the host's kernel" },
};
const size_t cx_policy_nreadonly = sizeof cx_policy_readonly / sizeof cx_policy_readonly[0];
