/* SPDX-License-Identifier: Apache-2.0 */
/* The agent, process 1: read, written, traced, signalled, slowed, replaced. */
#include "escape/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { AGENT = 1, SETTLE_NS = 100 * 1000 * 1000, IOPRIO_WHO_PROCESS = 1, IOPRIO_IDLE = 3 << 13 };

/* The stop that attaching sends is taken before we go: else it would stop pid 1 for good. */
static int trace(const struct probe_row *row)
{
	long rc = ptrace((enum __ptrace_request)row->a, AGENT, NULL, NULL);
	int result = probe_result(rc);

	if (rc == 0 && row->a == PTRACE_ATTACH) {
		(void)waitpid(AGENT, NULL, __WALL);
		(void)ptrace(PTRACE_DETACH, AGENT, NULL, NULL);
	}
	return result;
}

/* Where something is mapped is not known: EFAULT already says that looking was allowed. */
static int vm_access(const struct probe_row *row)
{
	char byte = 0;
	struct iovec here = { &byte, 1 };
	struct iovec there = { (void *)(uintptr_t)0x400000, 1 };
	long rc = syscall(row->a, AGENT, &here, 1UL, &there, 1UL, 0UL);

	return probe_unreachable(rc);
}

static int open_entry(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, (int)row->a | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char word[8]; /* pagemap is read by the word only */

	if (fd < 0)
		return -errno;
	if ((row->a & (O_WRONLY | O_RDWR | O_PATH)) != 0)
		return PROBE_OPEN;
	ssize_t got = read(fd, word, sizeof(word));

	if (got < 0)
		return -errno;
	probe_note("%s", got == 0 ? "empty" : "readable");
	return got == 0 ? -ENODATA : PROBE_OPEN;
}

/* Many of its files can be opened for writing by anyone; what counts is whether a write is taken.
 */
static int write_entry(const struct probe_row *row)
{
	int rc = probe_write(row->path, "0");

	return rc == 0 ? PROBE_OPEN : rc;
}

static int follow(const struct probe_row *row)
{
	char target[256];
	ssize_t len = readlink(row->path, target, sizeof(target) - 1);

	if (len < 0)
		return -errno;
	target[len] = '\0';
	probe_note("-> %s", target);
	return PROBE_OPEN;
}

/* Each of the agent's descriptors by its magic link. */
static int open_fds(const struct probe_row *row)
{
	int saved = ENOENT;
	char path[64];

	for (int fd = 0; fd < 64; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
		cx_autofd int got = open(path, (int)row->a | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

		if (got >= 0) {
			probe_note("%s", path);
			return PROBE_OPEN;
		}
		if (errno != ENOENT)
			saved = errno;
	}
	return -saved;
}

static int take_fds(const struct probe_row *row)
{
	cx_autofd int pidfd = (int)syscall(SYS_pidfd_open, AGENT, 0U);
	int saved;

	(void)row;
	if (pidfd < 0)
		return -errno;
	saved = EBADF;
	for (int fd = 0; fd < 64; fd++) {
		cx_autofd int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0U);

		if (got >= 0) {
			probe_note("took descriptor %d", fd);
			return PROBE_OPEN;
		}
		if (errno != EBADF)
			saved = errno;
	}
	if (saved == EBADF) {
		probe_note("was allowed to ask");
		return PROBE_OPEN;
	}
	return -saved;
}

static char agent_state(void)
{
	char text[512];
	const char *state;
	long size = probe_slurp("/proc/1/stat", text, sizeof(text));

	state = size < 0 ? NULL : strrchr(text, ')');
	return state != NULL && state[1] == ' ' ? state[2] : '?';
}

/* It is still there and neither stopped, traced nor dying. */
static int survives(void)
{
	const struct timespec nap = { .tv_nsec = SETTLE_NS };
	char state;

	(void)nanosleep(&nap, NULL);
	state = agent_state();
	if (state != 'S' && state != 'R' && state != 'D') {
		probe_note("its state is %c", state);
		return PROBE_OPEN;
	}
	return -ESRCH;
}

static int signal_agent(const struct probe_row *row)
{
	if (kill(AGENT, (int)row->a) < 0)
		return -errno;
	return survives();
}

static int signal_queue(const struct probe_row *row)
{
	union sigval value = { .sival_int = 1 };

	if (sigqueue(AGENT, (int)row->a, value) < 0)
		return -errno;
	return survives();
}

static int signal_pidfd(const struct probe_row *row)
{
	cx_autofd int pidfd = (int)syscall(SYS_pidfd_open, AGENT, 0U);

	if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, row->a, NULL, 0U) < 0)
		return -errno;
	return survives();
}

static int signal_tgkill(const struct probe_row *row)
{
	if (syscall(SYS_tgkill, AGENT, AGENT, row->a) < 0)
		return -errno;
	return survives();
}

/* A signal as if from the kernel (SI_KERNEL), which init would not be shielded from. */
static int signal_forged(const struct probe_row *row)
{
	siginfo_t info = { .si_signo = (int)row->a, .si_code = SI_KERNEL };

	if (syscall(SYS_rt_sigqueueinfo, AGENT, row->a, &info) < 0)
		return -errno;
	return survives();
}

static int signal_owner(const struct probe_row *row)
{
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (fcntl(pipe_fds[0], F_SETOWN, AGENT) < 0 ||
	    fcntl(pipe_fds[0], F_SETSIG, (int)row->a) < 0 ||
	    fcntl(pipe_fds[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0 ||
	    write(pipe_fds[1], "x", 1) != 1)
		return -errno;
	return survives();
}

static int renice(const struct probe_row *row)
{
	(void)row;
	return probe_result(setpriority(PRIO_PROCESS, AGENT, 19));
}

static int renice_all(const struct probe_row *row)
{
	(void)row;
	if (setpriority(PRIO_USER, geteuid(), 19) < 0)
		return -errno;
	errno = 0;
	int value = getpriority(PRIO_PROCESS, AGENT);

	(void)setpriority(PRIO_USER, geteuid(), 0);
	return errno == 0 && value == 19 ? PROBE_OPEN : -EPERM;
}

static int reschedule(const struct probe_row *row)
{
	struct sched_param param = { .sched_priority = 0 };

	return probe_result(sched_setscheduler(AGENT, (int)row->a, &param));
}

static int pin(const struct probe_row *row)
{
	cpu_set_t cpus;

	(void)row;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return probe_result(sched_setaffinity(AGENT, sizeof(cpus), &cpus));
}

static int io_priority(const struct probe_row *row)
{
	(void)row;
	return probe_result(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, AGENT, IOPRIO_IDLE));
}

static int limit(const struct probe_row *row)
{
	struct rlimit none = { .rlim_cur = 4, .rlim_max = 4 };

	return probe_result(prlimit(AGENT, (enum __rlimit_resource)row->a, &none, NULL));
}

static int move_its_pages(const struct probe_row *row)
{
	unsigned long nodes = 1;

	return probe_unreachable(
		row->a == SYS_migrate_pages
			? syscall(SYS_migrate_pages, AGENT, 8UL, &nodes, &nodes)
			: syscall(SYS_move_pages, AGENT, 0UL, NULL, NULL, NULL, 0));
}

static int its_robust_list(const struct probe_row *row)
{
	void *head = NULL;
	size_t len = 0;

	(void)row;
	return probe_result(syscall(SYS_get_robust_list, AGENT, &head, &len));
}

static int compare(const struct probe_row *row)
{
	return probe_result(syscall(SYS_kcmp, AGENT, getpid(), row->a, 0UL, 0UL));
}

static int advise(const struct probe_row *row)
{
	struct iovec there = { (void *)(uintptr_t)0x400000, 4096 };
	cx_autofd int pidfd = (int)syscall(SYS_pidfd_open, AGENT, 0U);

	if (pidfd < 0)
		return -errno;
	if (row->a == SYS_process_mrelease)
		return probe_result(syscall(SYS_process_mrelease, pidfd, 0U));
	return probe_unreachable(syscall(SYS_process_madvise, pidfd, &there, 1UL, 21, 0U));
}

static int its_group(const struct probe_row *row)
{
	(void)row;
	return probe_result(setpgid(AGENT, getpgrp()));
}

/* Its executable linked into our tree, where a later start might take it for one's own. */
static int link_exe(const struct probe_row *row)
{
	cx_autofd int exe = open("/proc/1/exe", O_PATH | O_CLOEXEC);
	int rc;

	(void)row;
	if (exe < 0)
		return -errno;
	rc = linkat(exe, "", AT_FDCWD, "/tmp/probe-agent", AT_EMPTY_PATH);
	if (rc < 0)
		rc = linkat(AT_FDCWD, "/proc/1/exe", AT_FDCWD, "/tmp/probe-agent",
			    AT_SYMLINK_FOLLOW);
	int result = probe_result(rc);

	if (rc == 0)
		(void)unlink("/tmp/probe-agent");
	return result;
}

static int truncate_exe(const struct probe_row *row)
{
	(void)row;
	return probe_result(truncate("/proc/1/exe", 0));
}

static int chmod_exe(const struct probe_row *row)
{
	(void)row;
	return probe_result(chmod("/proc/1/exe", 0777));
}

/*
 * CVE-2019-5736: the program that the engine starts is a script whose interpreter is
 * /proc/self/exe, so that the engine's own file is executed, held and opened for writing by its
 * descendant.
 */
static int exec_exe(const struct probe_row *row)
{
	int status = 0;
	pid_t child = fork();

	(void)row;
	if (child == 0) {
		const struct timespec nap = { .tv_nsec = SETTLE_NS };
		char path[32];
		pid_t runs = fork();

		if (runs == 0) {
			(void)close(STDOUT_FILENO);
			(void)execl("/proc/1/exe", "agent", (char *)NULL);
			_exit(EXIT_FAILURE);
		}
		(void)nanosleep(&nap, NULL);
		(void)snprintf(path, sizeof(path), "/proc/%d/exe", runs);
		cx_autofd int fd = open(path, O_RDWR | O_CLOEXEC);

		(void)kill(runs, SIGKILL);
		_exit(fd >= 0 ? 1 : 0);
	}
	(void)waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? -EACCES : PROBE_OPEN;
}

#define SAFE PROBE_SAFE_OUTSIDE
#define ENTRY(name, entry, how, flags, why)                               \
	{                                                                 \
		name, open_entry, "/proc/1/" entry, how, 0, 0, flags, why \
	}
#define TAKES(name, entry, why)                                      \
	{                                                            \
		name, write_entry, "/proc/1/" entry, 0, 0, 0, 0, why \
	}
#define KILL(name, run, signo, why)                  \
	{                                            \
		name, run, NULL, signo, 0, 0, 0, why \
	}

static const struct probe_row rows[] = {
	{ "attach", trace, NULL, PTRACE_ATTACH, 0, 0, SAFE, "its memory and system calls" },
	{ "seize", trace, NULL, PTRACE_SEIZE, 0, 0, SAFE, "its memory and system calls" },
	{ "vm_readv", vm_access, NULL, SYS_process_vm_readv, 0, 0, 0, "its memory" },
	{ "vm_writev", vm_access, NULL, SYS_process_vm_writev, 0, 0, 0, "its memory" },
	ENTRY("mem_rdwr", "mem", O_RDWR, SAFE, "its memory"),
	ENTRY("mem_write", "mem", O_WRONLY, SAFE, "its memory"),
	ENTRY("maps", "maps", O_RDONLY, SAFE, "where things lie in its memory"),
	ENTRY("smaps", "smaps", O_RDONLY, SAFE, "where things lie in its memory"),
	ENTRY("numa_maps", "numa_maps", O_RDONLY, 0, "where things lie in its memory"),
	ENTRY("pagemap", "pagemap", O_RDONLY, SAFE, "where things lie in its memory"),
	ENTRY("auxv", "auxv", O_RDONLY, SAFE, "where things lie in its memory"),
	ENTRY("environ", "environ", O_RDONLY, SAFE, "secrets handed to it"),
	ENTRY("exe_read", "exe", O_RDONLY, SAFE, "its code"),
	ENTRY("exe_write", "exe", O_WRONLY, 0, "the agent of every sandbox (CVE-2019-5736)"),
	ENTRY("exe_rdwr", "exe", O_RDWR, 0, "the agent of every sandbox (CVE-2019-5736)"),
	ENTRY("exe_path", "exe", O_PATH, SAFE, "a handle on its file"),
	ENTRY("io", "io", O_RDONLY, SAFE, "how much it reads and writes"),
	ENTRY("syscall", "syscall", O_RDONLY, SAFE, "what it waits for"),
	ENTRY("stack", "stack", O_RDONLY, SAFE, "kernel addresses"),
	ENTRY("personality", "personality", O_RDONLY, SAFE, "how it runs"),
	TAKES("clear_refs", "clear_refs", "its page tables"),
	TAKES("comm_write", "comm", "its name"),
	TAKES("timerslack", "timerslack_ns", "how late it wakes up"),
	TAKES("coredump", "coredump_filter", "what a dump of it holds"),
	TAKES("oom_adj", "oom_score_adj", "killed first"),
	TAKES("sched", "sched", "its statistics"),
	TAKES("autogroup", "autogroup", "its share of the processor"),
	TAKES("loginuid", "loginuid", "names in audit records"),
	TAKES("uid_map", "uid_map", "ids of the host"),
	TAKES("attr", "attr/current", "its label"),
	{ "root", follow, "/proc/1/root", 0, 0, 0, SAFE, "its root directory" },
	{ "cwd", follow, "/proc/1/cwd", 0, 0, 0, SAFE, "its working directory" },
	{ "exe", follow, "/proc/1/exe", 0, 0, 0, SAFE, "its file" },
	{ "fd", follow, "/proc/1/fd/3", 0, 0, 0, 0, "its listening socket" },
	{ "ns_user", follow, "/proc/1/ns/user", 0, 0, 0, SAFE, "its namespaces" },
	{ "ns_mnt", follow, "/proc/1/ns/mnt", 0, 0, 0, SAFE, "its namespaces" },
	{ "fd_list", probe_list, "/proc/1/fd", 0, 0, 0, SAFE, "which descriptors it holds" },
	{ "fdinfo_list", probe_list, "/proc/1/fdinfo", 0, 0, 0, SAFE,
	  "which descriptors it holds" },
	{ "map_files", probe_list, "/proc/1/map_files", 0, 0, 0, SAFE, "its mapped files" },
	{ "root_list", probe_list, "/proc/1/root/", 0, 0, 0, SAFE, "its root directory" },
	{ "cwd_list", probe_list, "/proc/1/cwd/", 0, 0, 0, SAFE, "its working directory" },
	{ "task_fd", probe_list, "/proc/1/task/1/fd", 0, 0, 0, SAFE, "which descriptors it holds" },
	{ "fds_read", open_fds, NULL, O_RDONLY, 0, 0, 0, "its descriptors" },
	{ "fds_write", open_fds, NULL, O_RDWR, 0, 0, 0, "its descriptors" },
	{ "fds_path", open_fds, NULL, O_PATH, 0, 0, SAFE, "its descriptors" },
	{ "pidfd_getfd", take_fds, NULL, 0, 0, 0, SAFE, "its descriptors" },
	KILL("kill", signal_agent, SIGKILL, "the sandbox ended from inside by a stray kill"),
	KILL("stop", signal_agent, SIGSTOP, "a sandbox that cannot be served"),
	KILL("term", signal_agent, SIGTERM, "the sandbox ended from inside"),
	KILL("int", signal_agent, SIGINT, "the sandbox ended from inside"),
	KILL("hup", signal_agent, SIGHUP, "the sandbox ended from inside"),
	KILL("segv", signal_agent, SIGSEGV, "the sandbox ended from inside"),
	KILL("abrt", signal_agent, SIGABRT, "the sandbox ended from inside"),
	KILL("tstp", signal_agent, SIGTSTP, "a sandbox that cannot be served"),
	KILL("usr1", signal_agent, SIGUSR1, "the sandbox ended from inside"),
	KILL("chld", signal_agent, SIGCHLD, "confused about its children"),
	KILL("rt", signal_agent, 40, "the sandbox ended from inside"),
	KILL("queue", signal_queue, SIGTERM, "the sandbox ended from inside"),
	KILL("pidfd_kill", signal_pidfd, SIGKILL, "the sandbox ended from inside"),
	KILL("pidfd_stop", signal_pidfd, SIGSTOP, "a sandbox that cannot be served"),
	KILL("tgkill", signal_tgkill, SIGKILL, "the sandbox ended from inside"),
	KILL("forged", signal_forged, SIGKILL, "a signal as if from the kernel"),
	KILL("forged_segv", signal_forged, SIGSEGV, "a signal as if from the kernel"),
	KILL("owner", signal_owner, SIGKILL, "a signal sent by a file"),
	{ "renice", renice, NULL, 0, 0, 0, SAFE, "an agent that is never scheduled" },
	{ "renice_user", renice_all, NULL, 0, 0, 0, 0, "the same, by its user" },
	{ "sched_idle", reschedule, NULL, SCHED_IDLE, 0, 0, SAFE,
	  "an agent that is never scheduled" },
	{ "sched_batch", reschedule, NULL, SCHED_BATCH, 0, 0, SAFE, "an agent that waits longer" },
	{ "affinity", pin, NULL, 0, 0, 0, SAFE, "an agent bound to a busy processor" },
	{ "ioprio", io_priority, NULL, 0, 0, 0, SAFE, "an agent that waits for disks" },
	{ "limit_nofile", limit, NULL, RLIMIT_NOFILE, 0, 0, 0, "an agent that can open nothing" },
	{ "limit_cpu", limit, NULL, RLIMIT_CPU, 0, 0, 0, "an agent that ends soon" },
	{ "limit_as", limit, NULL, RLIMIT_AS, 0, 0, 0, "an agent without memory" },
	{ "limit_nproc", limit, NULL, RLIMIT_NPROC, 0, 0, 0, "an agent that starts nothing" },
	{ "migrate_pages", move_its_pages, NULL, SYS_migrate_pages, 0, 0, 0, "its memory moved" },
	{ "move_pages", move_its_pages, NULL, SYS_move_pages, 0, 0, 0, "its memory moved" },
	{ "robust_list", its_robust_list, NULL, 0, 0, 0, SAFE, "addresses in its memory" },
	{ "kcmp_vm", compare, NULL, 1 /* KCMP_VM */, 0, 0, SAFE, "kernel addresses by comparison" },
	{ "kcmp_files", compare, NULL, 2 /* KCMP_FILES */, 0, 0, SAFE, "which files it shares" },
	{ "madvise", advise, NULL, SYS_process_madvise, 0, 0, 0, "its memory paged out" },
	{ "mrelease", advise, NULL, SYS_process_mrelease, 0, 0, 0, "its memory released" },
	{ "setpgid", its_group, NULL, 0, 0, 0, 0, "signals to its group" },
	{ "exe_link", link_exe, NULL, 0, 0, 0, 0, "its file under another name" },
	{ "exe_truncate", truncate_exe, NULL, 0, 0, 0, 0, "its file emptied" },
	{ "exe_chmod", chmod_exe, NULL, 0, 0, 0, 0, "its file writable" },
	{ "exe_exec", exec_exe, NULL, 0, 0, 0, 0, "its file opened while it runs for us" },
};

const struct probe_group probe_pid1 = { "agent", rows, CX_LEN(rows) };
