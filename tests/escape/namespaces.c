/* SPDX-License-Identifier: Apache-2.0 */
/* New namespaces, others' namespaces, and whether ours are our own. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/nsfs.h>
#include <linux/sched.h>

#include "base/cleanup.h"

enum { HOST_RANGE_MIN = 524288, HOST_RANGE_SIZE = 65536 };

/* a, and with b also in a child of a new user namespace's making. */
static int unshare_it(const struct probe_row *row)
{
	return probe_result(syscall(SYS_unshare, row->a));
}

static int reap(long child)
{
	int result = probe_result(child);

	if (child > 0)
		(void)waitpid((pid_t)child, NULL, __WALL);
	return result;
}

static int clone_it(const struct probe_row *row)
{
	long child = syscall(SYS_clone, row->a | SIGCHLD, NULL, NULL, NULL, 0L);

	if (child == 0)
		_exit(0);
	return reap(child);
}

static int clone3_it(const struct probe_row *row)
{
	struct clone_args args = { .flags = (uint64_t)row->a, .exit_signal = SIGCHLD };
	long child = syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0)
		_exit(0);
	return reap(child);
}

/* A child made in a cgroup by descriptor, or with a chosen pid. */
static int clone3_into(const struct probe_row *row)
{
	pid_t pid = 31337;
	cx_autofd int dir = open(row->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct clone_args args = { .exit_signal = SIGCHLD };

	if (row->a != 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)dir;
		if (dir < 0)
			return -errno;
	} else {
		args.set_tid = (uintptr_t)&pid;
		args.set_tid_size = 1;
	}
	long child = syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0)
		_exit(0);
	return reap(child);
}

static int set_ns(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return probe_result(setns(fd, (int)row->a));
}

static int set_ns_pidfd(const struct probe_row *row)
{
	cx_autofd int fd = (int)syscall(SYS_pidfd_open, row->b == 0 ? 1 : getpid(), 0U);

	if (fd < 0)
		return -errno;
	return probe_result(setns(fd, (int)row->a));
}

/* The namespace above ours, or the user namespace that owns it: both are the host's. */
static int relative(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_RDONLY | O_CLOEXEC);
	cx_autofd int above = -EBADF;

	if (fd < 0)
		return -errno;
	above = ioctl(fd, (unsigned long)row->a);
	return probe_result(above);
}

/* Our own namespace is not the one that the machine booted with. */
static int is_own(const struct probe_row *row)
{
	struct stat st;

	if (stat(row->path, &st) < 0)
		return -errno;
	return st.st_ino == (ino_t)(unsigned)row->a ? PROBE_OPEN : -EXDEV;
}

/* One line: 0, a base in the range that systemd keeps for containers, 65,536 ids. */
static int id_map(const struct probe_row *row)
{
	char text[512];
	unsigned long inside = 1, base = 0, count = 0;
	char more = '\0';
	long size = probe_slurp(row->path, text, sizeof(text));

	if (size < 0)
		return (int)size;
	if (sscanf(text, " %lu %lu %lu %c", &inside, &base, &count, &more) != 3 || inside != 0 ||
	    count != HOST_RANGE_SIZE || base < HOST_RANGE_MIN || base % HOST_RANGE_SIZE != 0) {
		probe_note("%s", text);
		return PROBE_OPEN;
	}
	return -EXDEV;
}

/* Nobody is here but the agent, us and who is in our tree. */
static int strangers(const struct probe_row *row)
{
	char text[512], path[64];
	unsigned seen = 0;

	(void)row;
	for (int pid = 2; pid < 65536; pid++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (probe_slurp(path, text, sizeof(text)) <= 0)
			continue;
		seen++;
		for (const char *const *name = (const char *const[]){ "caissond", "caisson-gateway",
								      "caisson-spawner", "kthreadd",
								      "systemd", NULL };
		     *name != NULL; name++)
			if (strncmp(text, *name, strlen(*name)) == 0) {
				probe_note("process %d is %s", pid, text);
				return PROBE_OPEN;
			}
	}
	if (seen == 0) {
		probe_note("not even we are there");
		return PROBE_NA;
	}
	return -ESRCH;
}

static int top_cgroup(const struct probe_row *row)
{
	char text[4096], *rest = text, *line;
	long size = probe_slurp("/proc/self/cgroup", text, sizeof(text));

	(void)row;
	if (size < 0)
		return (int)size;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (strstr(line, "caisson-") != NULL) {
			probe_note("%s", line);
			return PROBE_OPEN;
		}
	return -ENOENT;
}

#define SAFE PROBE_SAFE_OUTSIDE
#define EACH(name, flag, flags, why)                                            \
	{ "unshare_" name, unshare_it, NULL, flag, 0, 0, flags, why },          \
		{ "clone_" name, clone_it, NULL, flag, 0, 0, flags, why },      \
		{ "clone3_" name, clone3_it, NULL, flag, 0, 0, flags, why },    \
		{ "setns_pid1_" name, set_ns_pidfd, NULL, flag, 0, 0, 0, why }, \
	{                                                                       \
		"setns_self_" name, set_ns_pidfd, NULL, flag, 1, 0, 0, why      \
	}
#define SETNS(name, path, flag, why)                            \
	{                                                       \
		"setns_" name, set_ns, path, flag, 0, 0, 0, why \
	}
#define OWN(name, inode)                                                    \
	{                                                                   \
		"own_" name, is_own, "/proc/self/ns/" name, inode, 0, 0, 0, \
			"a namespace shared with the host"                  \
	}

static const struct probe_row rows[] = {
	EACH("user", CLONE_NEWUSER, SAFE, "all capabilities over a namespace of one's own"),
	EACH("mnt", CLONE_NEWNS, SAFE, "mounts of one's own"),
	EACH("pid", CLONE_NEWPID, SAFE, "processes that the agent cannot see end"),
	EACH("net", CLONE_NEWNET, SAFE, "packet filters, links (about 50 CVEs)"),
	EACH("ipc", CLONE_NEWIPC, SAFE, "limits on IPC"),
	EACH("uts", CLONE_NEWUTS, SAFE, "names"),
	EACH("cgroup", CLONE_NEWCGROUP, SAFE, "the view of the limits"),
	{ "unshare_time", unshare_it, NULL, 0x80 /* CLONE_NEWTIME */, 0, 0, SAFE, "clocks" },
	{ "clone3_time", clone3_it, NULL, 0x80, 0, 0, 0, "clocks" },
	{ "unshare_user_mnt", unshare_it, NULL, CLONE_NEWUSER | CLONE_NEWNS, 0, 0, SAFE,
	  "the usual start of an exploit" },
	{ "unshare_user_net", unshare_it, NULL, CLONE_NEWUSER | CLONE_NEWNET, 0, 0, SAFE,
	  "the usual start of an exploit" },
	{ "clone_user_all", clone_it, NULL,
	  CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
	  0, 0, SAFE, "a container in a container" },
	{ "clone3_user_all", clone3_it, NULL,
	  CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
	  0, 0, SAFE, "a container in a container" },
	{ "clone3_into_cgroup", clone3_into, "/sys/fs/cgroup", 1, 0, 0, 0, "another group" },
	{ "clone3_chosen_pid", clone3_into, "/", 0, 0, 0, SAFE, "a chosen pid" },
	SETNS("user", "/proc/1/ns/user", CLONE_NEWUSER, "the agent's namespaces"),
	SETNS("mnt", "/proc/1/ns/mnt", CLONE_NEWNS, "the agent's namespaces"),
	SETNS("pid", "/proc/1/ns/pid", CLONE_NEWPID, "the agent's namespaces"),
	SETNS("net", "/proc/1/ns/net", CLONE_NEWNET, "the agent's namespaces"),
	SETNS("own_user", "/proc/self/ns/user", 0, "setns at all"),
	SETNS("own_mnt", "/proc/self/ns/mnt", 0, "setns at all"),
	SETNS("own_uts", "/proc/self/ns/uts", 0, "setns at all"),
	SETNS("own_net", "/proc/self/ns/net", 0, "setns at all"),
	SETNS("own_pid", "/proc/self/ns/pid_for_children", 0, "setns at all"),
	{ "parent_user", relative, "/proc/self/ns/user", (long)NS_GET_PARENT, 0, 0, 0,
	  "the host's" },
	{ "parent_pid", relative, "/proc/self/ns/pid", (long)NS_GET_PARENT, 0, 0, 0, "the host's" },
	{ "owner_net", relative, "/proc/self/ns/net", (long)NS_GET_USERNS, 0, 0, 0, "the host's" },
	{ "owner_user", relative, "/proc/self/ns/user", (long)NS_GET_USERNS, 0, 0, 0,
	  "the host's" },
	OWN("user", 0xEFFFFFFDL),
	OWN("pid", 0xEFFFFFFCL),
	OWN("uts", 0xEFFFFFFEL),
	OWN("ipc", 0xEFFFFFFFL),
	OWN("cgroup", 0xEFFFFFFBL),
	OWN("net", 0xEFFFFFF9L),
	OWN("mnt", 0xEFFFFFF8L),
	{ "uid_map", id_map, "/proc/self/uid_map", 0, 0, 0, 0, "ids of the host" },
	{ "gid_map", id_map, "/proc/self/gid_map", 0, 0, 0, 0, "ids of the host" },
	{ "strangers", strangers, NULL, 0, 0, 0, 0, "processes of the host" },
	{ "cgroup_path", top_cgroup, NULL, 0, 0, 0, 0, "where our groups lie on the host" },
};

const struct probe_group probe_namespaces = { "namespace", rows, CX_LEN(rows) };
