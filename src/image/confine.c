/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_FD = 3 };

/* A directory with nothing in it becomes the root. /proc only serves as a place that exists. */
static int leave_files(struct cx_err *err)
{
	/* Made here once more, so that nothing outside can ever be meant. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "own mount namespace");
	if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0,size=4k") < 0)
		return cx_fail(err, errno, "mount an empty root");
	if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return cx_fail(err, errno, "enter the empty root");
	if (mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return cx_fail(err, errno, "make the empty root read-only");
	return 0;
}

static int leave_descriptors(struct cx_err *err)
{
	if (syscall(SYS_close_range, LAST_FD + 1U, ~0U, 0) < 0)
		return cx_fail(err, errno, "close descriptors");
	return 0;
}

static int leave_privileges(struct cx_err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return cx_fail(err, errno, "drop capability %u", cap);
	if (syscall(SYS_capset, &head, none) < 0)
		return cx_fail(err, errno, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return cx_fail(err, errno, "no_new_privs");
	return 0;
}

static int leave_resources(struct cx_err *err)
{
	const struct rlimit none = { 0, 0 }, files = { LAST_FD + 1, LAST_FD + 1 };

	if (setrlimit(RLIMIT_NPROC, &none) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &files) < 0)
		return cx_fail(err, errno, "limits");
	return 0;
}

static const char *const calls[] = {
	"read",		  "write",	     "pwrite64",
	"lseek",	  "fstat",	     "newfstatat",
	"ftruncate",	  "close",	     "brk",
	"mmap",		  "munmap",	     "mremap",
	"mprotect",	  "madvise",	     "exit",
	"exit_group",	  "futex",	     "rt_sigreturn",
	"rt_sigprocmask", "clock_gettime",   "getrandom",
	"sysinfo",	  "restart_syscall",
};

/* Libraries that look for an optional file get the answer that the empty root would give. */
static const char *const absent[] = { "open", "openat", "access", "readlink" };

static int leave_system_calls(struct cx_err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; i < CX_LEN(absent) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT),
				     seccomp_syscall_resolve_name(absent[i]), 0);

	for (size_t i = 0; i < CX_LEN(calls) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(calls[i]),
				     0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? cx_fail(err, -r, "system call filter") : 0;
}

static const struct {
	const char *name;
	int (*run)(struct cx_err *err);
} steps[] = {
	{ "files", leave_files },
	{ "descriptors", leave_descriptors },
	{ "privileges", leave_privileges },
	{ "resources", leave_resources },
	{ "system calls", leave_system_calls }, /* last: those above need more */
};

int cx_confine(struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(steps); i++)
		if (steps[i].run(err) < 0)
			return cx_wrap(err, "confine: step '%s'", steps[i].name);
	return 0;
}
