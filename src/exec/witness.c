/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/witness.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

/* struct pidfd_info as it was first published, which older headers do not have. */
struct info {
	uint64_t mask, group;
	uint32_t pids[3], ids[8];
	int32_t status; /* as of wait(2) */
};
static_assert(sizeof(struct info) == 64, "PIDFD_INFO_SIZE_VER0");

#define GET_INFO  _IOWR(0xff, 11, struct info) /* PIDFD_GET_INFO */
#define WITH_EXIT (UINT64_C(1) << 3)	       /* PIDFD_INFO_EXIT */

bool cx_witness_ask(int pidfd, struct cx_witness *ret)
{
	struct info info = { .mask = WITH_EXIT };

	if (ioctl(pidfd, GET_INFO, &info) < 0 || (info.mask & WITH_EXIT) == 0)
		return false;
	*ret = (struct cx_witness){ .how = CX_EXITED_CODE,
				    .status = (uint32_t)WEXITSTATUS(info.status),
				    .group = info.group };
	if (WIFSIGNALED(info.status)) {
		ret->how = CX_EXITED_SIGNAL;
		ret->status = (uint32_t)WTERMSIG(info.status);
	}
	return true;
}
