/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_WITNESS_H
#define CX_EXEC_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/agent_msgs.h"

/* What the kernel says of the end of a process, asked through a pidfd of it. */
struct cx_witness {
	enum cx_exited how; /* never CX_EXITED_TIMEOUT */
	uint32_t status;    /* exit code or signal number */
	uint64_t group;	    /* v2: the control group in which it ended, an inode's number */
};

/*
 * pidfd is whatever the sandbox has handed over. False, and *ret is untouched, when it is of no
 * process, of one that is not reaped yet, or the kernel cannot tell (before Linux 6.15). Does not
 * block: nothing that can be opened in a sandbox has an ioctl of that number but a pidfd, as there
 * is neither FUSE nor a device beyond policy/devices.c.
 */
bool cx_witness_ask(int pidfd, struct cx_witness *ret);

#endif
