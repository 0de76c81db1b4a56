/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "policy/policy.h"

/* clang-format off */
const struct cx_device_row cx_policy_devices[] = {
	{ "null", S_IFCHR | 0666, 1, 3, NULL, "swallows what is written" },
	{ "zero", S_IFCHR | 0666, 1, 5, NULL, "memory from before anonymous mappings" },
	{ "full", S_IFCHR | 0666, 1, 7, NULL, "tests of a full disk" },
	{ "random", S_IFCHR | 0666, 1, 8, NULL, "keys" },
	{ "urandom", S_IFCHR | 0666, 1, 9, NULL, "keys" },
	{ "tty", S_IFCHR | 0666, 5, 0, NULL, "the terminal of the own session, if it has one" },
	{ "pts/ptmx", 0, 5, 2, NULL, "new terminals, of the sandbox's own devpts" },
	{ "pts/*", 0, 136, -1, NULL, "its terminals" },
	{ "ptmx", S_IFLNK | 0777, 0, 0, "pts/ptmx", "of the own devpts, whoever mounts another" },
	{ "fd", S_IFLNK | 0777, 0, 0, "/proc/self/fd", "shells' <(command)" },
	{ "stdin", S_IFLNK | 0777, 0, 0, "/proc/self/fd/0", "programs that read a file only" },
	{ "stdout", S_IFLNK | 0777, 0, 0, "/proc/self/fd/1", "programs that write a file only" },
	{ "stderr", S_IFLNK | 0777, 0, 0, "/proc/self/fd/2", "log files of servers" },
	{ "pts", S_IFDIR | 0755, 0, 0, NULL, "devpts is mounted here" },
	{ "shm", S_IFDIR | 0755, 0, 0, NULL, "a tmpfs is mounted here" },
	{ "mqueue", S_IFDIR | 0755, 0, 0, NULL, "POSIX queues are mounted here" },
};
/* clang-format on */
const size_t cx_policy_ndevices = sizeof cx_policy_devices / sizeof cx_policy_devices[0];
