/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"

int cx_idmap_check(uint32_t uid_base, struct cx_err *err)
{
	if (uid_base % CX_IDS_COUNT != 0 || uid_base < CX_IDS_FIRST ||
	    uid_base > CX_IDS_LAST - CX_IDS_COUNT + 1)
		return cx_refuse(err, CX_INVALID,
				 "ids from %u: allowed are multiples of %d from %d to %d", uid_base,
				 CX_IDS_COUNT, CX_IDS_FIRST, CX_IDS_LAST);
	return 0;
}

int cx_idmap_write(pid_t pid, uint32_t uid_base, struct cx_err *err)
{
	cx_autofd int dir = -EBADF;
	char path[32], map[48];

	if (cx_idmap_check(uid_base, err) < 0)
		return -err->errnum;
	(void)snprintf(path, sizeof path, "/proc/%d", pid);
	(void)snprintf(map, sizeof map, "0 %u %d\n", uid_base, CX_IDS_COUNT);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return cx_fail(err, errno, "open '%s'", path);
	/* Anyone inside may write the map of quota projects, once, and of any ids: so we do. */
	if (cx_write_file(dir, "uid_map", map, err) < 0 ||
	    cx_write_file(dir, "gid_map", map, err) < 0 ||
	    cx_write_file(dir, "projid_map", map, err) < 0)
		return cx_wrap(err, "id maps");
	return 0;
}
