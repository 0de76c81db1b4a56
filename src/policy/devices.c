/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

const struct cx_device_row cx_policy_devices[] = {
	{ "null", 1, 3, "every program expects it" },
	{ "zero", 1, 5, "mmap and dd" },
	{ "full", 1, 7, "tests of a full disk" },
	{ "random", 1, 8, "keys" },
	{ "urandom", 1, 9, "keys" },
	{ "tty", 5, 0, "the controlling terminal, which is the sandbox's own pty or none" },
};
const size_t cx_policy_ndevices = sizeof cx_policy_devices / sizeof cx_policy_devices[0];

const struct cx_link_row cx_policy_dev_links[] = {
	{ "ptmx", "pts/ptmx" },		 { "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },	 { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
};
const size_t cx_policy_ndev_links = sizeof cx_policy_dev_links / sizeof cx_policy_dev_links[0];

const char *const cx_policy_dev_dirs[] = { "pts", "shm", "mqueue" };
const size_t cx_policy_ndev_dirs = sizeof cx_policy_dev_dirs / sizeof cx_policy_dev_dirs[0];
