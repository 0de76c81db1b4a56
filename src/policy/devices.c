/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

/* clang-format off */
const struct cx_device_row cx_policy_devices[] = {
	{ "null", 1, 3, true, "every program expects it" },
	{ "zero", 1, 5, true, "mmap and dd" },
	{ "full", 1, 7, true, "tests of a full disk" },
	{ "random", 1, 8, true, "keys" },
	{ "urandom", 1, 9, true, "keys" },
	{ "tty", 5, 0, true, "the controlling terminal, which is the sandbox's own pty or none" },
	{ "pts/ptmx", 5, 2, false, "new terminals, of the sandbox's own devpts" },
	{ "pts/*", 136, -1, false, "its terminals" },
};
const size_t cx_policy_ndevices = sizeof cx_policy_devices / sizeof cx_policy_devices[0];

const struct cx_link_row cx_policy_dev_links[] = {
	{ "ptmx", "pts/ptmx", "of the own devpts" },
	{ "fd", "/proc/self/fd", "shells' <(command)" },
	{ "stdin", "/proc/self/fd/0", "programs that read files only" },
	{ "stdout", "/proc/self/fd/1", "programs that write files only" },
	{ "stderr", "/proc/self/fd/2", "log files of servers" },
};
const size_t cx_policy_ndev_links = sizeof cx_policy_dev_links / sizeof cx_policy_dev_links[0];
/* clang-format on */

/* Where the agent mounts (mounts.c). */
const char *const cx_policy_dev_dirs[] = { "pts", "shm", "mqueue" };
const size_t cx_policy_ndev_dirs = sizeof cx_policy_dev_dirs / sizeof cx_policy_dev_dirs[0];
