/* SPDX-License-Identifier: Apache-2.0 */
/* More of the machine than was granted: priorities, limits, pools that all sandboxes share. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { RT_PRIORITY = 1, IOPRIO_SELF = 1, IOPRIO_RT = 1 << 13, HUGE_SIZE = 2 << 20 };

/* Reset on fork, and this process ends at once: harmless where it works. */
static int real_time(const struct probe_row *row)
{
	struct sched_param param = { .sched_priority = RT_PRIORITY };

	return probe_result(sched_setscheduler(0, (int)row->a | SCHED_RESET_ON_FORK, &param));
}

static int deadline(const struct probe_row *row)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr),
		   .policy = 6,
		   .runtime = 100000,
		   .deadline = 1000000,
		   .period = 1000000 };

	(void)row;
	return probe_result(syscall(SYS_sched_setattr, 0, &attr, 0U));
}

static int negative_nice(const struct probe_row *row)
{
	return probe_result(setpriority(PRIO_PROCESS, 0, (int)row->a));
}

static int io_real_time(const struct probe_row *row)
{
	(void)row;
	return probe_result(syscall(SYS_ioprio_set, IOPRIO_SELF, 0, IOPRIO_RT));
}

static int raise_hard(const struct probe_row *row)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)row->a, &limit) < 0)
		return -errno;
	if (limit.rlim_max == RLIM_INFINITY) {
		probe_note("has no hard limit");
		return row->b == 0 ? PROBE_NA : PROBE_OPEN;
	}
	limit.rlim_max++;
	return probe_result(setrlimit((__rlimit_resource_t)row->a, &limit));
}

/* A limit of resource a above b was granted to begin with. */
static int granted_more(const struct probe_row *row)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)row->a, &limit) < 0)
		return -errno;
	if (limit.rlim_max <= (rlim_t)row->b)
		return -EDQUOT;
	probe_note("hard limit %llu", (unsigned long long)limit.rlim_max);
	return PROBE_OPEN;
}

static int lock_memory(const struct probe_row *row)
{
	size_t size = (size_t)row->a;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	return probe_result(mlock(at, size));
}

static int lock_shm(const struct probe_row *row)
{
	int id = shmget(IPC_PRIVATE, (size_t)row->a, IPC_CREAT | 0600);
	int result;

	if (id < 0)
		return -errno;
	result = probe_result(shmctl(id, SHM_LOCK, NULL));
	(void)shmctl(id, IPC_RMID, NULL);
	return result;
}

static int huge_pages(const struct probe_row *row)
{
	void *at = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	(void)row;
	return at == MAP_FAILED ? -errno : PROBE_OPEN;
}

static int big_pipe(const struct probe_row *row)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	return probe_result(fcntl(fds[1], F_SETPIPE_SZ, (int)row->a));
}

static int name_host(const struct probe_row *row)
{
	return probe_result(row->a == SYS_sethostname ? sethostname("probe", 5)
						      : setdomainname("probe", 5));
}

static int io_flusher(const struct probe_row *row)
{
	(void)row;
	return probe_result(syscall(SYS_prctl, 57 /* PR_SET_IO_FLUSHER */, 1, 0, 0, 0));
}

static int memory_policy(const struct probe_row *row)
{
	unsigned long nodes = 2;

	return probe_result(syscall(row->a, 2 /* MPOL_BIND */, &nodes, 64UL));
}

#define SAFE PROBE_SAFE_OUTSIDE
/* As many as a at the same time. */
static int many_terminals(const struct probe_row *row)
{
	for (long i = 0; i < row->a; i++)
		if (posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) < 0)
			return -errno;
	return PROBE_OPEN;
}

static const struct probe_row rows[] = {
	{ "fifo", real_time, NULL, SCHED_FIFO, 0, 0, SAFE, "a processor for oneself" },
	{ "rr", real_time, NULL, SCHED_RR, 0, 0, SAFE, "a processor for oneself" },
	{ "deadline", deadline, NULL, 0, 0, 0, 0, "a processor for oneself" },
	{ "nice_5", negative_nice, NULL, -5, 0, 0, SAFE, "a larger share" },
	{ "nice_20", negative_nice, NULL, -20, 0, 0, SAFE, "a larger share" },
	{ "ioprio_rt", io_real_time, NULL, 0, 0, 0, SAFE, "disks before others" },
	{ "hard_nofile", raise_hard, NULL, RLIMIT_NOFILE, 1, 0, 0, "the host's open files" },
	{ "hard_nproc", raise_hard, NULL, RLIMIT_NPROC, 0, 0, 0, "the host's processes" },
	{ "hard_memlock", raise_hard, NULL, RLIMIT_MEMLOCK, 1, 0, 0, "memory that stays" },
	{ "hard_core", raise_hard, NULL, RLIMIT_CORE, 1, 0, 0, "core dumps on the host" },
	{ "hard_msgqueue", raise_hard, NULL, RLIMIT_MSGQUEUE, 1, 0, 0, "queues in kernel memory" },
	{ "hard_sigpending", raise_hard, NULL, RLIMIT_SIGPENDING, 0, 0, 0,
	  "signals in kernel memory" },
	{ "hard_rtprio", raise_hard, NULL, RLIMIT_RTPRIO, 1, 0, 0, "a processor for oneself" },
	{ "hard_nice", raise_hard, NULL, RLIMIT_NICE, 1, 0, 0, "a larger share" },
	{ "grant_nofile", granted_more, NULL, RLIMIT_NOFILE, 16384, 0, 0, "the host's open files" },
	{ "grant_sigpending", granted_more, NULL, RLIMIT_SIGPENDING, 4096, 0, 0,
	  "signals in kernel memory" },
	{ "terminals", many_terminals, NULL, 257, 0, 0, 0, "the machine's terminals, all in use" },
	{ "grant_core", granted_more, NULL, RLIMIT_CORE, 0, 0, 0,
	  "cores go to the host's core_pattern" },
	{ "grant_rtprio", granted_more, NULL, RLIMIT_RTPRIO, 0, 0, 0, "a processor for oneself" },
	{ "grant_nice", granted_more, NULL, RLIMIT_NICE, 20, 0, 0, "a larger share" },
	{ "grant_memlock", granted_more, NULL, RLIMIT_MEMLOCK, 64 << 20, 0, 0,
	  "memory that stays" },
	{ "grant_msgqueue", granted_more, NULL, RLIMIT_MSGQUEUE, 16 << 20, 0, 0, "kernel memory" },
	{ "mlock", lock_memory, NULL, 1L << 30, 0, 0, 0, "memory that stays" },
	{ "shm_lock", lock_shm, NULL, 1L << 30, 0, 0, 0, "memory that stays" },
	{ "huge_pages", huge_pages, NULL, 0, 0, 0, 0, "the host's pool of huge pages" },
	{ "pipe_size", big_pipe, NULL, 64 << 20, 0, 0, 0, "kernel memory" },
	{ "sethostname", name_host, NULL, SYS_sethostname, 0, 0, SAFE, "a name not checked" },
	{ "setdomainname", name_host, NULL, SYS_setdomainname, 0, 0, SAFE, "a name not checked" },
	{ "io_flusher", io_flusher, NULL, 0, 0, 0, 0, "memory kept for the host's own use" },
	{ "mempolicy", memory_policy, NULL, SYS_set_mempolicy, 0, 0, 0, "memory of another node" },
};

const struct probe_group probe_limits = { "limit", rows, CX_LEN(rows) };
