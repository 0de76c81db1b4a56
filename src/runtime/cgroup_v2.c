/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

static const struct cx_limit_row limits[] = {
	{ .controller = CX_CTL_CPU,
	  .file = "cpu.max",
	  .value = CX_LIMIT_QUOTA_US,
	  .text = " 100000",
	  .why = "CPU time in each period" },
	{ .controller = CX_CTL_CPU,
	  .file = "cpu.weight",
	  .value = CX_LIMIT_WEIGHT,
	  .text = "",
	  .optional = true,
	  .of_all = true,
	  .why = "where more is wanted than there is, each has its part of what was granted" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.max",
	  .value = CX_LIMIT_MEMORY,
	  .text = "",
	  .why = "RAM" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.swap.max",
	  .text = "0",
	  .optional = true,
	  .why = "no swap; a kernel without swap accounting has no such file" },
	{ .controller = CX_CTL_PIDS,
	  .file = "pids.max",
	  .value = CX_LIMIT_PIDS,
	  .text = "",
	  .why = "processes and threads" },
};

static const struct cx_usage_row usage[] = {
	{ .controller = CX_CTL_CPU,
	  .file = "cpu.stat",
	  .key = "usage_usec",
	  .value = CX_USAGE_CPU_US,
	  .divisor = 1 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.current",
	  .value = CX_USAGE_MEMORY,
	  .divisor = 1 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.peak",
	  .value = CX_USAGE_PEAK,
	  .divisor = 1,
	  .optional = true },
	{ .controller = CX_CTL_PIDS, .file = "pids.current", .value = CX_USAGE_PIDS, .divisor = 1 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.events",
	  .key = "oom_kill",
	  .value = CX_USAGE_OOM_KILLS,
	  .divisor = 1,
	  .own_file = "memory.events.local",
	  .own_key = "oom" },
};

static const struct cx_slot_row slot_rows[] = {
	{ CX_CTL_PIDS, "cgroup.procs", CX_SLOT_SANDBOX, NULL, false,
	  "the agent starts the command there" },
	{ CX_CTL_PIDS, "cgroup.kill", CX_SLOT_SANDBOX, NULL, true, "and ends all of it" },
	{ CX_CTL_PIDS, "pids.max", CX_SLOT_BOTH, NULL, false,
	  "the command's limit; while all of it is killed it may have no new ones" },
	{ CX_CTL_MEMORY, "memory.max", CX_SLOT_READER, NULL, false, "the command's limit" },
	{ CX_CTL_MEMORY, "memory.oom.group", CX_SLOT_SET, "1", true,
	  "a command that is out of memory ends as a whole" },
	{ CX_CTL_MEMORY, "memory.peak", CX_SLOT_READER, NULL, true,
	  "since Linux 6.12 a written peak begins again, for the next command" },
};

#define PART(name) offsetof(struct cx_memory_report, name##_bytes)

/* "file" has the pages of tmpfs and shared memory, too. */
static const struct cx_memory_row memory[] = {
	{ "memory.max", NULL, PART(limit), false },
	{ "memory.peak", NULL, PART(peak), false },
	{ "memory.current", NULL, PART(used), false },
	{ "memory.stat", "anon", PART(anonymous), false },
	{ "memory.stat", "shmem", PART(shared), false },
	{ "memory.stat", "file", PART(file), false },
	{ "memory.stat", "shmem", PART(file), true },
	{ "memory.stat", "kernel", PART(kernel), false },
	{ "memory.stat", "sock", PART(kernel), false },
};

static const char *const delegated[] = { "cgroup.procs", "cgroup.threads", "cgroup.subtree_control",
					 NULL };

/* ---- a sandbox ------------------------------------------------------------------------------- */

/* In a clone that shares nothing but descriptors; the namespace ends up as descriptor "slot". */
static _Noreturn void namespace_child(int slot)
{
	int fd;

	if (unshare(CLONE_NEWCGROUP) < 0)
		_exit(errno);
	fd = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup3(fd, slot, O_CLOEXEC) < 0)
		_exit(errno);
	(void)close(fd);
	_exit(0);
}

/*
 * A cgroup namespace's root is the group in which its maker was. The agent must see both its own
 * group and "work" (under nsdelegate it may move processes only between groups it sees), so its
 * namespace is made by a process that for a moment is in <id>, before <id> may hold none.
 */
static int make_namespace(int top, int *ret, struct cx_err *err)
{
	cx_autofd int slot = open("/dev/null", O_RDONLY | O_CLOEXEC), pidfd = -EBADF;
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_FILES | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.cgroup = (unsigned)top,
	};
	siginfo_t info = { 0 };
	long pid;

	if (slot < 0)
		return cx_fail(err, errno, "open '/dev/null'");
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		namespace_child(slot);
	if (pid < 0)
		return cx_fail(err, errno, "clone into group");
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) < 0)
		if (errno != EINTR)
			return cx_fail(err, errno, "wait for the cgroup namespace");
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		return cx_fail(err, info.si_code == CLD_EXITED ? info.si_status : EIO,
			       "make cgroup namespace");
	*ret = cx_take_fd(&slot);
	return 0;
}

static int made_top(int top, uint32_t uid_base, struct cx_cgroup *ret, struct cx_err *err)
{
	if (make_namespace(top, &ret->ns, err) < 0)
		return -err->errnum;
	/* Who moves a process must be allowed to write here, to the common ancestor of both groups.
	 */
	if (fchownat(top, "cgroup.procs", uid_base, uid_base, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_fail(err, errno, "give 'cgroup.procs' away");
	return 0;
}

static int kill_group(int dir, struct cx_err *err)
{
	return cx_write_file(dir, "cgroup.kill", "1", err); /* frozen ones and all below included */
}

/* ---- the root -------------------------------------------------------------------------------- */

enum { OWN_MAX = 4096 };

/* This process's group, as "/a/b", from the line "0::/a/b". */
static int own_group(char *buf, size_t size, char **ret, struct cx_err *err)
{
	char *line;

	if (cx_read_small_file(AT_FDCWD, "/proc/self/cgroup", buf, size, err) < 0)
		return -err->errnum;
	for (line = buf; line != NULL && strncmp(line, "0::/", 4) != 0;) {
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	if (line == NULL)
		return cx_refuse(err, CX_INTERNAL, "/proc/self/cgroup names no v2 group");
	*ret = line + 3;
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

/* systemd marks what it delegates; which of the two depends on its age. */
static bool is_delegated(int dir)
{
	char value[2] = "";

	return (fgetxattr(dir, "user.delegate", value, 1) == 1 && value[0] == '1') ||
	       (fgetxattr(dir, "trusted.delegate", value, 1) == 1 && value[0] == '1');
}

static int open_group(const char *mount, const char *group, struct cx_err *err)
{
	char path[PATH_MAX];
	int fd;

	if (cx_format(path, sizeof path, "%s%s", err, mount, group) < 0)
		return -err->errnum;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : cx_fail(err, errno, "open '%s'", path);
}

int cx_cgroup_v2_root(const char *mount, struct cx_err *err)
{
	static const char leaf[] = "/supervisor";
	char buf[OWN_MAX], *own;
	cx_autofd int dir = -EBADF;
	size_t len;

	if (own_group(buf, sizeof buf, &own, err) < 0)
		return -err->errnum;
	len = strlen(own);
	if (len < sizeof leaf || strcmp(own + len - (sizeof leaf - 1), leaf) != 0)
		return open_group(mount, "", err);
	own[len - (sizeof leaf - 1)] = '\0';
	dir = open_group(mount, own, err);
	if (dir < 0)
		return -err->errnum;
	return is_delegated(dir) ? cx_take_fd(&dir) : open_group(mount, "", err);
}

/* A change of the file is told until it is read. */
static int oom_watch(int dir, uint32_t *ret_events, struct cx_err *err)
{
	int fd = openat(dir, "memory.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cx_fail(err, errno, "watch for want of memory");
	(void)cx_cgroup_oom_heard(fd, 0);
	*ret_events = EPOLLPRI;
	return fd;
}

const struct cx_cgroup_version cx_cgroup_v2 = {
	.limits = limits,
	.nlimits = CX_LEN(limits),
	.usage = usage,
	.nusage = CX_LEN(usage),
	.slot = slot_rows,
	.nslot = CX_LEN(slot_rows),
	.memory = memory,
	.nmemory = CX_LEN(memory),
	.delegated = delegated,
	.freeze = { .controller = CX_CTL_PIDS,
		    .file = "cgroup.freeze",
		    .on = "1",
		    .off = "0",
		    .state = "cgroup.events",
		    .frozen = "frozen 1" },
	.subtree = "+cpu +memory +pids",
	.begin = cx_cgroup_v2_devices,
	.made_top = made_top,
	.tasks = "cgroup.procs",
	.oom_watch = oom_watch,
	.kill = kill_group,
};
