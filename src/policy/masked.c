/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

/* What only the host's root could open (mode 0400, no mapped owner) is covered where its content
 * would be worst; each mask costs some 30 us of a blank's making. */
const struct cx_path_row cx_policy_masked[] = {
	{ "acpi", "the host's hardware" },
	{ "asound", "the host's sound devices" },
	{ "bus", "the host's buses" },
	{ "cmdline", "the host's boot options: disks, consoles, secrets of an installer" },
	{ "config.gz", "how the host's kernel was built: what an attack looks up first" },
	{ "diskstats", "what other sandboxes and the host write, disk by disk" },
	{ "driver", "the host's hardware" },
	{ "fs", "knobs of the host's file systems" },
	{ "interrupts", "counters per interrupt time the host's key strokes and packets" },
	{ "iomem", "the host's hardware" },
	{ "ioports", "the host's hardware" },
	{ "irq", "interrupt affinity of the host" },
	{ "kallsyms", "names, and on careless hosts addresses, of the kernel" },
	{ "kcore", "the kernel's memory" },
	{ "key-users", "keys of all users of the host" },
	{ "keys", "names of keys that a sandbox may see" },
	{ "kmsg", "the host's log" },
	{ "latency_stats", "what other processes wait for" },
	{ "locks", "file locks of the whole host" },
	{ "mdstat", "the host's disks" },
	{ "modules", "what an attack looks up first" },
	{ "mtrr", "the host's memory layout, and a way to change it" },
	{ "partitions", "the host's disks" },
	{ "pressure", "what other sandboxes wait for, by the microsecond" },
	{ "sched_debug", "every process of the host" },
	{ "schedstat", "what other processes of the host do" },
	{ "scsi", "the host's disks" },
	{ "softirqs", "as interrupts" },
	{ "swaps", "paths of the host" },
	{ "timer_list", "addresses and processes of the host" },
	{ "timer_stats", "every process of the host" },
	{ "tty", "the host's terminals" },
};
const size_t cx_policy_nmasked = sizeof cx_policy_masked / sizeof cx_policy_masked[0];

const struct cx_path_row cx_policy_readonly[] = {
	{ "sys", "what is not the namespace's own belongs to the host" },
	{ "sysrq-trigger", "commands to the host's kernel" },
};
const size_t cx_policy_nreadonly = sizeof cx_policy_readonly / sizeof cx_policy_readonly[0];
