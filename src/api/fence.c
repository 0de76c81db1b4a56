/* SPDX-License-Identifier: Apache-2.0 */
#include "api/fence.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>

static const struct {
	const char *name, *why;
} allowed[] = {
	{ "read", "everything" },
	{ "write", "everything" },
	{ "readv", "everything" },
	{ "writev", "libmicrohttpd, log" },
	{ "pread64", "sqlite" },
	{ "pwrite64", "sqlite" },
	{ "close", "everything" },
	{ "lseek", "spool files" },
	{ "openat", "sqlite, spool files" },
	{ "open", "sqlite" },
	{ "fstat", "sqlite" },
	{ "stat", "sqlite" },
	{ "lstat", "sqlite" },
	{ "newfstatat", "sqlite" },
	{ "statx", "sqlite" },
	{ "fstatfs", "free space" },
	{ "statfs", "free space" },
	{ "access", "sqlite" },
	{ "faccessat", "sqlite" },
	{ "faccessat2", "sqlite" },
	{ "unlink", "sqlite's journal" },
	{ "unlinkat", "sqlite's journal, blobs" },
	{ "linkat", "blobs" },
	{ "renameat", "blobs, logins" },
	{ "renameat2", "blobs, logins" },
	{ "getdents64", "blobs that nobody needs" },
	{ "ftruncate", "sqlite" },
	{ "fallocate", "sqlite" },
	{ "fsync", "sqlite" },
	{ "fdatasync", "sqlite" },
	{ "fcntl", "locks of sqlite, flags" },
	{ "getcwd", "sqlite" },
	{ "readlink", "sqlite" },
	{ "readlinkat", "sqlite" },
	{ "fchmod", "sqlite's files" },
	{ "fchown", "sqlite's files" },
	{ "geteuid", "sqlite" },
	{ "getuid", "sqlite" },
	{ "getpid", "sqlite" },
	{ "gettid", "libc" },
	{ "ioctl", "FIONREAD" },
	{ "mmap", "memory" },
	{ "munmap", "memory" },
	{ "mremap", "memory" },
	{ "mprotect", "memory" },
	{ "madvise", "memory" },
	{ "brk", "memory" },
	{ "futex", "locks of libraries" },
	{ "sched_yield", "locks of libraries" },
	{ "clock_gettime", "time" },
	{ "clock_nanosleep", "sqlite's busy wait" },
	{ "nanosleep", "sqlite's busy wait" },
	{ "gettimeofday", "time" },
	{ "time", "time" },
	{ "getrandom", "names, references" },
	{ "epoll_wait", "loop" },
	{ "epoll_pwait", "loop" },
	{ "epoll_ctl", "loop" },
	{ "epoll_create1", "loop" },
	{ "eventfd2", "libmicrohttpd" },
	{ "poll", "libraries" },
	{ "ppoll", "libraries" },
	{ "pipe2", "streams of commands" },
	{ "socketpair", "terminals of commands" },
	{ "accept4", "clients" },
	{ "accept", "clients" },
	{ "recvfrom", "clients" },
	{ "recvmsg", "caissond, agents" },
	{ "sendto", "clients" },
	{ "sendmsg", "caissond, agents" },
	{ "sendfile", "libmicrohttpd, files that workers read while they come" },
	{ "shutdown", "clients" },
	{ "getsockopt", "libmicrohttpd" },
	{ "setsockopt", "libmicrohttpd" },
	{ "getsockname", "libmicrohttpd" },
	{ "getpeername", "libmicrohttpd" },
	{ "listen", "libmicrohttpd" },
	{ "dup", "descriptors" },
	{ "rt_sigaction", "signals" },
	{ "rt_sigprocmask", "signals" },
	{ "rt_sigreturn", "signals" },
	{ "sigaltstack", "sanitizers" },
	{ "restart_syscall", "signals" },
	{ "tgkill", "abort()" },
	{ "prlimit64", "libraries ask" },
	{ "sysinfo", "memory that libraries ask for" },
	{ "uname", "libraries ask" },
	{ "exit", "the end" },
	{ "exit_group", "the end" },
};

static int add_rules(scmp_filter_ctx ctx, struct cx_err *err)
{
	int r = 0;

	for (size_t i = 0; i < CX_LEN(allowed) && r >= 0; i++) {
		int number = seccomp_syscall_resolve_name(allowed[i].name);

		if (number == __NR_SCMP_ERROR)
			continue; /* this architecture never had it */
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
		if (r < 0)
			return cx_fail(err, -r, "allow system call %s", allowed[i].name);
	}
	r = seccomp_load(ctx);
	return r < 0 ? cx_fail(err, -r, "load the seccomp filter") : 0;
}

int cx_fence_close(struct cx_err *err)
{
	scmp_filter_ctx ctx;
	int r;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return cx_fail(err, errno, "prctl PR_SET_DUMPABLE");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_fail(err, errno, "prctl PR_SET_NO_NEW_PRIVS");
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (ctx == NULL)
		return cx_fail(err, ENOMEM, "seccomp filter");
	r = add_rules(ctx, err);
	seccomp_release(ctx);
	return r;
}
