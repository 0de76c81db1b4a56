/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/magic.h>
#include <sys/mount.h>

#include "policy/policy.h"

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

enum { INERT = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

/* /dev itself is made by the host, because only it can make device nodes (policy/devices.c). */
const struct cx_mount_row cx_policy_mounts[] = {
	{ .at = "proc",
	  .type = "proc",
	  .magic = PROC_SUPER_MAGIC,
	  .attrs = INERT,
	  .why = "of the own pid namespace; nearly every program reads it" },
	{ .at = "dev/pts",
	  .type = "devpts",
	  .magic = DEVPTS_SUPER_MAGIC,
	  .options = { "mode", "0620", "ptmxmode", "0666", "gid", "5", "max", "256" },
	  .attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
	  .why = "terminals of its own; no terminal of the host is ever inside" },
	{ .at = "dev/shm",
	  .directory = "shm",
	  .mode = 01777,
	  .magic = TMPFS_MAGIC,
	  .attrs = INERT,
	  .why = "POSIX shared memory, charged to the sandbox's memory" },
	{ .at = "dev/mqueue",
	  .type = "mqueue",
	  .magic = MQUEUE_MAGIC,
	  .attrs = INERT,
	  .why = "POSIX queues of the own IPC namespace" },
	{ .at = "sys",
	  .directory = "sys",
	  .mode = 0555,
	  .magic = TMPFS_MAGIC,
	  .attrs = INERT,
	  .why = "the number of processors and nothing else: sysfs shows the host's hardware" },
	{ .at = "tmp",
	  .directory = "tmp",
	  .mode = 01777,
	  .magic = TMPFS_MAGIC,
	  .attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	  .why = "scratch space; build tools execute in it" },
};
const size_t cx_policy_nmounts = sizeof cx_policy_mounts / sizeof cx_policy_mounts[0];
