/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int open_userns(pid_t pid, uint32_t uid_base, struct cx_err *err)
{
	char path[32];
	int fd;

	if (cx_idmap_write(pid, uid_base, err) < 0)
		return -err->errnum;
	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : cx_fail(err, errno, "open '%s'", path);
}

/* The namespace is that of a child that only waits for the end of a pipe. */
int cx_idmap_userns(uint32_t uid_base, struct cx_err *err)
{
	cx_autofd int wait = -EBADF, go = -EBADF, pidfd = -EBADF;
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	siginfo_t info;
	long pid;
	int fd;

	if (cx_idmap_check(uid_base, err) < 0 || cx_pipe(&wait, &go, err) < 0)
		return -err->errnum;
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0) {
		char byte;

		(void)close(go);
		_exit(read(wait, &byte, 1) == 0 ? 0 : 1);
	}
	if (pid < 0)
		return cx_fail(err, errno, "make a user namespace");
	fd = open_userns((pid_t)pid, uid_base, err);
	cx_close(&go);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	return fd;
}
