/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/policy.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

static const struct cx_limit_row limits[] = {
	{ .controller = CX_CTL_CPU,
	  .file = "cpu.cfs_quota_us",
	  .value = CX_LIMIT_QUOTA_US,
	  .text = "",
	  .why = "CPU time in each period of 100 ms, which is what a group begins with" },
	{ .controller = CX_CTL_CPU,
	  .file = "cpu.shares",
	  .value = CX_LIMIT_SHARES,
	  .text = "",
	  .optional = true,
	  .of_all = true,
	  .why = "where more is wanted than there is, each has its part of what was granted" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.memsw.limit_in_bytes",
	  .text = "-1",
	  .optional = true,
	  .why = "must never be below the next row, whether that goes up or down" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.limit_in_bytes",
	  .value = CX_LIMIT_MEMORY,
	  .text = "",
	  .why = "RAM" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.memsw.limit_in_bytes",
	  .value = CX_LIMIT_MEMORY,
	  .text = "",
	  .optional = true,
	  .why = "RAM and swap together: no swap" },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.kmem.tcp.limit_in_bytes",
	  .value = CX_LIMIT_SOCKETS,
	  .text = "",
	  .optional = true,
	  .why = "what waits in TCP and UDP sockets is counted apart, and only where a limit is "
		 "set" },
	{ .controller = CX_CTL_PIDS,
	  .file = "pids.max",
	  .value = CX_LIMIT_PIDS,
	  .text = "",
	  .why = "processes and threads" },
};

static const struct cx_usage_row usage[] = {
	{ .controller = CX_CTL_CPUACCT,
	  .file = "cpuacct.usage",
	  .value = CX_USAGE_CPU_US,
	  .divisor = 1000 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.usage_in_bytes",
	  .value = CX_USAGE_MEMORY,
	  .divisor = 1 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.max_usage_in_bytes",
	  .value = CX_USAGE_PEAK,
	  .divisor = 1 },
	{ .controller = CX_CTL_PIDS, .file = "pids.current", .value = CX_USAGE_PIDS, .divisor = 1 },
	{ .controller = CX_CTL_MEMORY,
	  .file = "memory.oom_control",
	  .key = "oom_kill",
	  .value = CX_USAGE_OOM_KILLS,
	  .divisor = 1,
	  .summed = true,
	  .below_file = "memory.failcnt" },
};

static const struct cx_slot_row slot_rows[] = {
	{ CX_CTL_COUNTED, "tasks", CX_SLOT_SANDBOX, NULL, false,
	  "the agent starts the command there" },
	{ CX_CTL_PIDS, "pids.max", CX_SLOT_BOTH, NULL, false,
	  "the command's limit; while all of it is killed it may have no new ones" },
	{ CX_CTL_MEMORY, "memory.max_usage_in_bytes", CX_SLOT_READER, NULL, false,
	  "a written peak begins again, for the next command" },
	{ CX_CTL_MEMORY, "memory.limit_in_bytes", CX_SLOT_READER, NULL, false,
	  "the command's limit" },
	{ CX_CTL_MEMORY, "memory.failcnt", CX_SLOT_READER, NULL, false,
	  "whose limit was hit, the command's or the sandbox's" },
	{ CX_CTL_MEMORY, "memory.kmem.tcp.limit_in_bytes", CX_SLOT_SET, "-1", true,
	  "a group without a limit does not count for those above it" },
};

#define PART(name) offsetof(struct cx_memory_report, name##_bytes)

/* In "cache" are the pages of tmpfs and shared memory, too. */
static const struct cx_memory_row memory[] = {
	{ "memory.limit_in_bytes", NULL, PART(limit), false },
	{ "memory.max_usage_in_bytes", NULL, PART(peak), false },
	{ "memory.usage_in_bytes", NULL, PART(used), false },
	{ "memory.stat", "total_rss", PART(anonymous), false },
	{ "memory.stat", "total_shmem", PART(shared), false },
	{ "memory.stat", "total_cache", PART(file), false },
	{ "memory.stat", "total_shmem", PART(file), true },
	{ "memory.kmem.usage_in_bytes", NULL, PART(kernel), false },
	{ "memory.kmem.tcp.usage_in_bytes", NULL, PART(kernel), false },
};

static const char *const delegated[] = { "tasks", NULL };

static bool has_line(const char *lines, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = lines, *end; (end = strchr(at, '\n')) != NULL; at = end + 1)
		if ((size_t)(end - at) == len && memcmp(at, line, len) == 0)
			return true;
	return false;
}

static int restrict_devices(const struct cx_cgroup_tree *tree, struct cx_err *err)
{
	char list[4096];

	if ((tree->controllers & CX_CTL_DEVICES) == 0)
		return 0;
	if (cx_read_small_file(tree->dir, "devices.list", list, sizeof list, err) < 0)
		return -err->errnum;
	/*
	 * The kernel refuses "deny a" above existing groups; a restarted daemon finds it done, and
	 * what is missing behind it when the first start was cut off in the middle.
	 */
	if (has_line(list, "a *:* rwm") && cx_write_file(tree->dir, "devices.deny", "a", err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < cx_policy_ndevices; i++) {
		const struct cx_device_row *row = &cx_policy_devices[i];
		char text[48], minor[12] = "*";

		if (row->minor >= 0)
			(void)snprintf(minor, sizeof minor, "%d", row->minor);
		(void)snprintf(text, sizeof text, "c %u:%s rw", row->major, minor);
		if (!has_line(list, text) &&
		    cx_write_file(tree->dir, "devices.allow", text, err) < 0)
			return cx_wrap(err, "allow device %s", row->name);
	}
	return 0;
}

/* No swap where the kernel does not account it: a group begins with what the one above it has. */
static int begin(const struct cx_cgroup_tree *tree, struct cx_err *err)
{
	if ((tree->controllers & CX_CTL_MEMORY) != 0 &&
	    cx_cgroup_write(tree->dir, "memory.swappiness", "0", true, err) < 0)
		return -err->errnum;
	return restrict_devices(tree, err);
}

static int made_top(int top, uint32_t uid_base, struct cx_cgroup *ret, struct cx_err *err)
{
	(void)top, (void)uid_base, (void)ret, (void)err;
	return 0; /* v1 lets anybody move a process of his own into any group he may write */
}

/* The kernel counts an event up each time that it is about to kill. */
static int oom_watch(int dir, uint32_t *ret_events, struct cx_err *err)
{
	cx_autofd int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cx_autofd int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char text[32];

	if (counter < 0 || control < 0)
		return cx_fail(err, errno, "watch for want of memory");
	(void)snprintf(text, sizeof text, "%d %d", counter, control);
	if (cx_write_file(dir, "cgroup.event_control", text, err) < 0)
		return cx_wrap(err, "watch for want of memory");
	*ret_events = EPOLLIN;
	return cx_take_fd(&counter);
}

static int kill_group(int dir, struct cx_err *err)
{
	/* Nothing forks while it is being killed, and nothing stays frozen with its signal unread.
	 */
	if (cx_cgroup_write(dir, "pids.max", "0", true, err) < 0 ||
	    cx_cgroup_kill_listed(dir, err) < 0)
		return -err->errnum;
	return cx_cgroup_write(dir, "freezer.state", "THAWED", true, err);
}

const struct cx_cgroup_version cx_cgroup_v1 = {
	.limits = limits,
	.nlimits = CX_LEN(limits),
	.usage = usage,
	.nusage = CX_LEN(usage),
	.slot = slot_rows,
	.nslot = CX_LEN(slot_rows),
	.memory = memory,
	.nmemory = CX_LEN(memory),
	.delegated = delegated,
	.freeze = { .controller = CX_CTL_FREEZER,
		    .file = "freezer.state",
		    .on = "FROZEN",
		    .off = "THAWED",
		    .state = "freezer.state",
		    .frozen = "FROZEN" },
	.begin = begin,
	.made_top = made_top,
	.tasks = "tasks",
	.agent_on_top = true,
	.oom_watch = oom_watch,
	.kill = kill_group,
};
