/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/caps.h"
#include "runtime/idmap.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

enum { EXIT_SETUP_FAILED = 125, FDS_MAX = 64 };

/* What the child works on: its copy of the caller's memory, nobody else's. */
struct child {
	const struct cx_process_plan *plan;
	int go;	    /* read end: one byte when the id maps are written */
	int report; /* write end: a struct cx_err, or end of file by execve */
	/*
	 * Opened by the parent: a tree that only root may enter, such as a home directory, is then
	 * no reason that the child cannot execute what lies in it.
	 */
	int program;
};

static int step_maps(const struct child *c, struct cx_err *err)
{
	char byte;

	if ((c->plan->namespaces & CLONE_NEWUSER) == 0)
		return 0;
	if (read(c->go, &byte, 1) != 1)
		return cx_refuse(err, CX_INTERNAL, "the parent gave up");
	return 0;
}

/* Every one back to its default action and unblocked; what this one starts inherits that. */
static int step_signals(const struct child *c, struct cx_err *err)
{
	/* The kernel's struct and call: libc keeps two numbers to itself, which are inherited too.
	 */
	static const struct {
		void *handler; /* SIG_DFL */
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} plain;
	sigset_t none;

	(void)c;
	for (int signo = 1; signo < NSIG; signo++) /* KILL and STOP refuse */
		(void)syscall(SYS_rt_sigaction, signo, &plain, NULL, sizeof plain.mask);
	(void)sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return cx_fail(err, errno, "unblock signals");
	return 0;
}

static int step_session(const struct child *c, struct cx_err *err)
{
	(void)c;
	if (setsid() < 0)
		return cx_fail(err, errno, "setsid");
	(void)umask(022);
	return 0;
}

static int step_mounts(const struct child *c, struct cx_err *err)
{
	if (c->plan->new_mounts && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "make / private");
	return 0;
}

static int lower(int resource, uint64_t value, const char *name, struct cx_err *err)
{
	struct rlimit limit;

	if (value == 0)
		return 0;
	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return cx_fail(err, errno, "getrlimit %s", name);
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return cx_fail(err, errno, "setrlimit %s", name);
	return 0;
}

static int step_rlimits(const struct child *c, struct cx_err *err)
{
	const struct {
		int resource;
		uint64_t value;
		const char *name;
	} rows[] = {
		{ RLIMIT_NOFILE, c->plan->nofile, "NOFILE" },
		{ RLIMIT_AS, c->plan->address_space, "AS" },
		{ RLIMIT_CPU, c->plan->cpu_seconds, "CPU" },
	};

	for (size_t i = 0; i < CX_LEN(rows); i++)
		if (lower(rows[i].resource, rows[i].value, rows[i].name, err) < 0)
			return -err->errnum;
	return 0;
}

static int step_ids(const struct child *c, struct cx_err *err)
{
	if (setgroups(0, NULL) < 0)
		return cx_fail(err, errno, "setgroups");
	if (setresgid(c->plan->gid, c->plan->gid, c->plan->gid) < 0)
		return cx_fail(err, errno, "setresgid %u", c->plan->gid);
	if (setresuid(c->plan->uid, c->plan->uid, c->plan->uid) < 0)
		return cx_fail(err, errno, "setresuid %u", c->plan->uid);
	return 0;
}

/* Before the ids change, as it needs CAP_SETPCAP. */
static int step_bounding(const struct child *c, struct cx_err *err)
{
	return c->plan->drop_caps ? cx_caps_bound(NULL, 0, err) : 0;
}

static int step_caps(const struct child *c, struct cx_err *err)
{
	return c->plan->drop_caps ? cx_caps_keep(NULL, 0, err) : 0;
}

static int step_no_new_privs(const struct child *c, struct cx_err *err)
{
	(void)c;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_fail(err, errno, "no_new_privs");
	return 0;
}

/* After the ids: changing them clears it. */
static int step_death(const struct child *c, struct cx_err *err)
{
	struct pollfd report = { .fd = c->report };

	if (!c->plan->die_with_parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return cx_fail(err, errno, "PR_SET_PDEATHSIG");
	/* A parent that died before that sends nothing, and does not read our report either. */
	if (poll(&report, 1, 0) < 0 || (report.revents & POLLERR) != 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the parent is gone");
	return 0;
}

static int step_fds(const struct child *c, struct cx_err *err)
{
	int fds[FDS_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return cx_fail(err, errno, "open /dev/null");
	for (unsigned i = 0; i < c->plan->nfds; i++)
		fds[i] = c->plan->fds[i] >= 0 ? c->plan->fds[i] : null;
	return cx_fds_arrange(fds, c->plan->nfds, 0, err);
}

static const struct {
	const char *name;
	int (*run)(const struct child *c, struct cx_err *err);
} steps[] = {
	{ "id maps", step_maps },	   { "signals", step_signals },
	{ "session", step_session },	   { "mounts", step_mounts },
	{ "bounding set", step_bounding }, { "ids", step_ids },
	{ "capabilities", step_caps },	   { "no_new_privs", step_no_new_privs },
	{ "death signal", step_death },	   { "descriptors", step_fds },
	{ "limits", step_rlimits }, /* after the parent's many descriptors are gone */
};

static _Noreturn void child_main(struct child *c)
{
	struct cx_err err = { 0 }, lost;

	/* Out of the way of the numbers that the program is to have. */
	c->report = fcntl(c->report, F_DUPFD_CLOEXEC, FDS_MAX);
	c->program = fcntl(c->program, F_DUPFD_CLOEXEC, FDS_MAX);
	for (size_t i = 0; i < CX_LEN(steps) && err.errnum == 0; i++)
		if (steps[i].run(c, &err) < 0)
			(void)cx_wrap(&err, "step '%s'", steps[i].name);
	if (err.errnum == 0) {
		(void)syscall(SYS_execveat, c->program, "", c->plan->argv, c->plan->envp,
			      AT_EMPTY_PATH);
		(void)cx_fail(&err, errno, "execute");
	}
	(void)!cx_write_all(c->report, &err, sizeof err, &lost);
	_exit(EXIT_SETUP_FAILED);
}

/* End of file: execve closed it, or the child was killed, which its pidfd tells. */
static int collect_report(int fd, struct cx_err *err)
{
	struct cx_err told;
	ssize_t n = cx_read_upto(fd, &told, sizeof told, err);

	if (n <= 0)
		return (int)n;
	if (n != (ssize_t)sizeof told || told.errnum <= 0 || told.len >= sizeof told.msg)
		return cx_refuse(err, CX_INTERNAL, "the child sent a garbled report");
	*err = told;
	return -err->errnum;
}

static int release_child(const struct cx_process_plan *plan, pid_t pid, int go, struct cx_err *err)
{
	if ((plan->namespaces & CLONE_NEWUSER) == 0)
		return 0;
	if (cx_idmap_write(pid, plan->uid_base, err) < 0)
		return -err->errnum;
	return cx_write_all(go, "g", 1, err);
}

/* Mistakes of the caller that would touch the host or start something else than was meant. */
static int check_plan(const struct cx_process_plan *plan, struct cx_err *err)
{
	if (plan->path[0] != '/')
		return cx_refuse(err, CX_INVALID, "start '%s': not an absolute path", plan->path);
	if (plan->nfds < 3 || plan->nfds > FDS_MAX)
		return cx_refuse(err, CX_INTERNAL, "start '%s': %u descriptors", plan->path,
				 plan->nfds);
	if (plan->new_mounts && (plan->namespaces & CLONE_NEWNS) == 0)
		return cx_refuse(err, CX_INTERNAL, "start '%s': mounts of the host", plan->path);
	if ((plan->namespaces & CLONE_NEWUSER) != 0 && (plan->uid != 0 || plan->gid != 0))
		return cx_refuse(err, CX_INTERNAL, "start '%s': user %u inside", plan->path,
				 plan->uid);
	return 0;
}

int cx_process_start(const struct cx_process_plan *plan, pid_t *ret_pid, int *ret_pidfd,
		     struct cx_err *err)
{
	cx_autofd int pidfd = -EBADF, go_read = -EBADF, go_write = -EBADF, read_end = -EBADF;
	cx_autofd int program = -EBADF;
	struct child c = { .plan = plan, .report = -EBADF };
	struct clone_args args = { .flags = plan->namespaces | CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	long pid;

	if (check_plan(plan, err) < 0)
		return -err->errnum;
	program = open(plan->path, O_PATH | O_CLOEXEC);
	if (program < 0)
		return cx_fail(err, errno, "start '%s': open", plan->path);
	if (cx_pipe(&go_read, &go_write, err) < 0 || cx_pipe(&read_end, &c.report, err) < 0)
		return -err->errnum;
	c.go = go_read;
	c.program = program;
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0) {
		cx_close(&go_write); /* so that the parent's death is seen, at both pipes */
		cx_close(&read_end);
		child_main(&c);
	}
	cx_close(&c.report);
	if (pid < 0)
		return cx_fail(err, errno, "start '%s': clone3", plan->path);
	if (release_child(plan, (pid_t)pid, go_write, err) < 0 ||
	    collect_report(read_end, err) < 0) {
		siginfo_t info;

		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
		return cx_wrap(err, "start '%s'", plan->path);
	}
	*ret_pid = (pid_t)pid;
	*ret_pidfd = cx_take_fd(&pidfd);
	return 0;
}

int cx_process_trim_supervisor(struct cx_err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_fail(err, errno, "no_new_privs");
	if (cx_caps_bound(cx_policy_supervisor_caps, cx_policy_nsupervisor_caps, err) < 0)
		return -err->errnum;
	return cx_caps_keep(cx_policy_supervisor_caps, cx_policy_nsupervisor_caps, err);
}

static int new_memfd(const char *path, struct cx_err *err)
{
	int fd = memfd_create("caisson", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 all are executable */
		fd = memfd_create("caisson", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd >= 0 ? fd : cx_fail(err, errno, "memory file for '%s'", path);
}

/* EBUSY: the kernel holds pages of it for a moment, as for moving or counting them. */
static int seal(int fd)
{
	enum { TRIES = 50, PAUSE_MS = 10 };
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	int r = fcntl(fd, F_ADD_SEALS, seals);

	for (int i = 1; i < TRIES && r < 0 && errno == EBUSY; i++) {
		(void)poll(NULL, 0, PAUSE_MS);
		r = fcntl(fd, F_ADD_SEALS, seals);
	}
	return r;
}

int cx_process_seal_file(const char *path, mode_t mode, struct cx_err *err)
{
	cx_autofd int from = open(path, O_RDONLY | O_CLOEXEC), to = -EBADF;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return cx_fail(err, errno, "open '%s'", path);
	to = new_memfd(path, err);
	if (to < 0)
		return to;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		if (n <= 0)
			return cx_fail(err, n < 0 ? errno : EIO, "copy '%s'", path);
		left -= n;
	}
	if (fchmod(to, mode) < 0)
		return cx_fail(err, errno, "mode of the copy of '%s'", path);
	if (seal(to) < 0)
		return cx_fail(err, errno, "seal the copy of '%s'", path);
	return cx_take_fd(&to);
}
