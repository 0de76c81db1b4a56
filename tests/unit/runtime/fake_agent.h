/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_FAKE_AGENT_H
#define CX_TESTS_FAKE_AGENT_H

#include <sys/types.h>

/* What fake_agent sends through descriptor 3 before it waits to be killed. */
struct report {
	pid_t pid, ppid, sid;
	uid_t uid;
	gid_t gid;
	int groups, open_fds, lo_up, host_files;
	mode_t umask;
};

#endif
