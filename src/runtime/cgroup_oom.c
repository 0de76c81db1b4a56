/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

enum {
	PROCS_BYTES = 16384, /* of one group's list: some 2,500 processes */
	LOOKED_AT_MAX = 512, /* some milliseconds */
};

/* "work" in the tree that limits memory. */
static int open_memory(const struct cx_cgroups *groups, const struct cx_cgroup *group,
		       struct cx_err *err)
{
	for (unsigned i = 0; i < group->ntop; i++)
		if ((groups->trees[i].controllers & CX_CTL_MEMORY) != 0)
			return cx_cgroup_child(group->top[i], "work", err);
	return cx_refuse(err, CX_UNAVAILABLE, "the host does not limit memory");
}

int cx_cgroup_oom_watch(struct cx_cgroups *groups, const struct cx_cgroup *group,
			uint32_t *ret_events, struct cx_err *err)
{
	cx_autofd int dir = open_memory(groups, group, err);

	return dir >= 0 ? groups->version->oom_watch(dir, ret_events, err) : -err->errnum;
}

/* An event counter (v1) is read, or a file whose state was seen (v2). */
uint64_t cx_cgroup_oom_heard(int fd, uint64_t before)
{
	char seen[1024];
	uint64_t count = 0, kills = 0;
	ssize_t n = pread(fd, seen, sizeof seen - 1, 0);

	if (n < 0)
		return read(fd, &count, sizeof count) == sizeof count ? before + count : before;
	seen[n] = '\0';
	if (cx_cgroup_number(seen, "oom", &count) < 0 ||
	    cx_cgroup_number(seen, "oom_kill", &kills) < 0)
		return before;
	return count + kills;
}

static int read_sockets(int dir, const char *file, uint64_t *ret, struct cx_err *err)
{
	char text[32];

	if (cx_read_small_file(dir, file, text, sizeof text, err) < 0)
		return -err->errnum;
	return cx_cgroup_number(text, NULL, ret) == 0
		       ? 0
		       : cx_refuse(err, CX_INTERNAL, "no number in '%s'", file);
}

int cx_cgroup_sockets_full(struct cx_cgroups *groups, const struct cx_cgroup *group,
			   struct cx_err *err)
{
	cx_autofd int dir = open_memory(groups, group, err);
	uint64_t waiting = 0, limit = 0;

	if (dir < 0 || read_sockets(dir, "memory.kmem.tcp.usage_in_bytes", &waiting, err) < 0 ||
	    read_sockets(dir, "memory.kmem.tcp.limit_in_bytes", &limit, err) < 0)
		return -err->errnum;
	return waiting / 2 > limit;
}

int cx_cgroups_sockets_filled(struct cx_cgroups *groups, struct cx_err *err)
{
	const uint64_t least = CX_LIMITS_MEMORY_MIN / CX_SOCKETS_PART;
	uint64_t waiting = 0;

	for (unsigned i = 0; i < groups->n; i++)
		if ((groups->trees[i].controllers & CX_CTL_MEMORY) != 0 &&
		    read_sockets(groups->trees[i].dir, "memory.kmem.tcp.usage_in_bytes", &waiting,
				 err) < 0)
			return -err->errnum;
	return waiting / 2 > least;
}

/* ---- who it was ------------------------------------------------------------------------------ */

struct looking {
	struct cx_memory_report *report;
	uint64_t page_bytes;
	int dir; /* the groups are below */
	bool dying;
};

/* Its number in each namespace, the innermost last. */
static uint32_t pid_inside(int proc)
{
	static const char key[] = "\nNSpid:";
	char status[4096], *at, *end;
	struct cx_err ignored;
	uint32_t pid = 0;

	if (cx_read_small_file(proc, "status", status, sizeof status, &ignored) <= 0)
		return 0;
	at = strstr(status, key); /* its name stands there, too, without ends of lines */
	at = at != NULL ? at + strlen(key) : NULL;
	for (; at != NULL; at = end != at ? end : NULL) {
		unsigned long number = strtoul(at, &end, 10);

		pid = end != at ? (uint32_t)number : pid;
	}
	return pid;
}

/* What a process calls itself is taken as it is, and not as a text. */
static void note_process(struct looking *l, int proc, uint64_t bytes)
{
	struct cx_memory_report *report = l->report;
	char comm[32] = "";
	struct cx_err ignored;

	if (cx_read_small_file(proc, "comm", comm, sizeof comm, &ignored) <= 0)
		return;
	memset(report->process, 0, sizeof report->process);
	memcpy(report->process, comm, strnlen(comm, CX_COMM_MAX));
	report->process[strcspn(report->process, "\n")] = '\0';
	report->process_bytes = bytes;
	report->pid = pid_inside(proc);
}

/* It has given its memory back, and nobody has been told of its end yet. */
static bool is_dying(int proc)
{
	struct cx_err ignored;
	const char *behind;
	char text[1024];

	if (cx_read_small_file(proc, "stat", text, sizeof text, &ignored) <= 0)
		return false;
	behind = strrchr(text, ')'); /* its name, in which anything may be */
	return behind != NULL && behind[1] == ' ' && strchr("ZXx", behind[2]) == NULL;
}

static void look_at(struct looking *l, uint32_t pid)
{
	cx_autofd int proc = -EBADF;
	uint64_t size = 0, resident = 0;
	char path[32], text[128];
	struct cx_err ignored;

	(void)snprintf(path, sizeof path, "/proc/%" PRIu32, pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || cx_read_small_file(proc, "statm", text, sizeof text, &ignored) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
		return;
	l->report->processes++;
	resident *= l->page_bytes;
	if (size == 0) {
		if (!l->dying && is_dying(proc)) {
			l->dying = true;
			note_process(l, proc, 0);
		}
	} else if (!l->dying && resident > l->report->process_bytes) {
		note_process(l, proc, resident);
	}
}

static int look_in(const char *name, void *arg, struct cx_err *err)
{
	struct looking *l = arg;
	cx_autofd int dir = cx_cgroup_child(l->dir, name, err), fd = -EBADF;
	char list[PROCS_BYTES], *at, *end;
	ssize_t n;

	if (dir >= 0)
		fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd >= 0 ? read(fd, list, sizeof list - 1) : 0;
	list[n > 0 ? n : 0] = '\0';
	for (at = list; l->report->processes < LOOKED_AT_MAX; at = end) {
		unsigned long pid = strtoul(at, &end, 10);

		if (end == at || *end != '\n') /* the last one may be cut */
			break;
		look_at(l, (uint32_t)pid);
	}
	return 0; /* a group that has just gone held nobody */
}

/* ---- what it was ----------------------------------------------------------------------------- */

/* Rows of one file stand together: reading it makes the kernel add up the whole sandbox. */
static void read_parts(const struct cx_cgroup_version *version, int dir,
		       struct cx_memory_report *ret)
{
	const char *last = NULL;
	bool is_there = false;
	char text[8192];

	for (size_t i = 0; i < version->nmemory; i++) {
		const struct cx_memory_row *row = &version->memory[i];
		uint64_t *to = (void *)((char *)ret + row->part), value;
		struct cx_err ignored;

		if (last == NULL || strcmp(last, row->file) != 0)
			is_there =
				cx_read_small_file(dir, row->file, text, sizeof text, &ignored) > 0;
		last = row->file;
		if (is_there && cx_cgroup_number(text, row->key, &value) == 0)
			*to = row->less ? *to - (value < *to ? value : *to) : *to + value;
	}
}

/* The kernel's part may be counted apart: what waits in sockets of v1. */
static bool is_full(const struct cx_memory_report *report)
{
	return report->used_bytes >= report->limit_bytes - report->limit_bytes / 8 ||
	       report->kernel_bytes >= report->limit_bytes / 2;
}

static void blame_nobody(struct cx_memory_report *report)
{
	report->process[0] = '\0';
	report->process_bytes = 0;
	report->pid = 0;
}

/*
 * Whoever is the largest when most of the memory is free again did not fill it: then it is the one
 * that is dying, or one that nobody knows.
 */
int cx_cgroup_memory_report(struct cx_cgroups *groups, const struct cx_cgroup *group,
			    struct cx_memory_report *ret, struct cx_err *err)
{
	cx_autofd int dir = open_memory(groups, group, err);
	struct cx_memory_report report = { 0 };
	struct looking l = { .report = &report,
			     .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
			     .dir = dir };

	if (dir < 0 || look_in(".", &l, err) < 0 || cx_cgroup_children(dir, look_in, &l, err) < 0)
		return cx_wrap(err, "look who fills the memory");
	read_parts(groups->version, dir, &report);
	if (!l.dying && report.process_bytes < report.limit_bytes / 4 && !is_full(&report))
		blame_nobody(&report);
	*ret = report;
	return 0;
}
